"""Chance: intervals, tests, verdicts, power. Nothing here knows of models.

`bootstrap` makes intervals, `significance` and `permutation` test differences, `verdicts` says so in words,
and `power` how many seeds or units it takes.
"""
