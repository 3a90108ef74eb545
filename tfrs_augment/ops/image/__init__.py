"""Augmentations of images."""

from tfrs_augment.ops.image.affine import RandomAffine
from tfrs_augment.ops.image.blur import GaussianBlur
from tfrs_augment.ops.image.colour import ColorJitter, Grayscale
from tfrs_augment.ops.image.crop import RandomResizedCrop
from tfrs_augment.ops.image.encoded import EncodedImages, decode_images
from tfrs_augment.ops.image.erasing import RandomErasing
from tfrs_augment.ops.image.policies import AugMix, RandAugment, TrivialAugment
from tfrs_augment.ops.image.sizes import stack_images
from tfrs_augment.ops.image.tone import AutoContrast, Equalize, Posterize, Solarize

__all__ = [
    "AugMix",
    "AutoContrast",
    "ColorJitter",
    "EncodedImages",
    "Equalize",
    "GaussianBlur",
    "Grayscale",
    "Posterize",
    "RandAugment",
    "RandomAffine",
    "RandomErasing",
    "RandomResizedCrop",
    "Solarize",
    "TrivialAugment",
    "decode_images",
    "stack_images",
]
