"""Accuracy: what is compared, metrics and reports."""
