"""What a trained model gave on the test rows, in numbers.

`metrics` ranks the true item of each row, `query_metrics`, `list_metrics` and `rating_metrics` are of
queries, of lists shown and of predictions; `registry` has them all by name. `slices` and `segments` say which
rows count, `run` holds one training, and `summary` makes figures of many.
"""
