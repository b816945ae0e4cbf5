"""Objects in a directory of a local disk."""
