"""Effects of what was served: A/B tests on the tables of experiments, off-policy estimates on logs.

`ab_testing` compares the arms of an experiment: `ab_units` reads and adjusts its units, `arm_sizes` checks
their shares, `sequential` allows many looks. `off_policy_evaluation` weighs a log with propensities:
`off_policy_log` reads it, `off_policy_rewards` predicts, `off_policy_estimators` has the closed forms.
"""
