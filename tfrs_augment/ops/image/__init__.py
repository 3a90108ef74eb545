"""Augmentations of images."""

from tfrs_augment.ops.image.affine import RandomAffine

__all__ = ["RandomAffine"]
