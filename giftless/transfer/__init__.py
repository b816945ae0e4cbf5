"""Transfer adapters: the ways in which objects can be moved."""
