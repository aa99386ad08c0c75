"""Runs that are killed and cut off everywhere, resumed, and compared with the same run undisturbed."""
