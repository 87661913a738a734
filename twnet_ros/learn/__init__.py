"""What needs labels or takes long: data, training, evaluation and speed, a package each."""
