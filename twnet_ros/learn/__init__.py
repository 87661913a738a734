"""Training and evaluation: procedural streets, data, losses, metrics, schedules."""
