"""What synthesized rows are worth: `fidelity`, `privacy`, `transfer`, and the `gate` that weighs them."""
