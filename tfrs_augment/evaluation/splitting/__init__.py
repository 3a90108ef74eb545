"""Training, validation and test rows: `splits` by time and user, `histories`, `cross_validation`.

`cuts` is what they share.
"""
