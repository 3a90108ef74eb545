"""`comparison` trains arms under one protocol and measures them.

`arms` and `control_arms` say what is trained, `training` how, `validation` when it stops; `seed_runs` is the
work of one seed, `parallel` that of many processes, `run_cache` keeps it. `references` need no training.
"""
