"""Data sets, clips made of them, and their augmentation."""
