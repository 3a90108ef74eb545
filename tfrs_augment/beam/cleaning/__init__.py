"""Cleaning before augmentation: which rules, in which order.

Example:
  >>> from tfrs_augment.beam import cleaning
  >>> rules = cleaning.Cleaning([
  ...     cleaning.ExactDuplicates(),
  ...     cleaning.RangeOutliers("age", low=0, high=120),
  ...     cleaning.MissingFill("age", by="median"),
  ... ])
  >>> cleaning.Cleaning.from_json(rules.to_json()) == rules
  True
"""

from tfrs_augment.beam.cleaning.base import Rule
from tfrs_augment.beam.cleaning.cleaning import Cleaning
from tfrs_augment.beam.cleaning.missing import MissingFill, Required
from tfrs_augment.beam.cleaning.rules import BotUsers, ExactDuplicates, NearDuplicates
from tfrs_augment.beam.cleaning.values import IqrOutliers, OutsideDomain, RangeOutliers

__all__ = [
    "BotUsers",
    "Cleaning",
    "ExactDuplicates",
    "IqrOutliers",
    "MissingFill",
    "NearDuplicates",
    "OutsideDomain",
    "RangeOutliers",
    "Required",
    "Rule",
]
