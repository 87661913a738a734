"""The two training steps."""
