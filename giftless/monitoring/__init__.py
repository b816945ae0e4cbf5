"""What a worker counts of its work, and whether it can work at all."""
