"""Count a worker's work, and tell whether its parts work."""
