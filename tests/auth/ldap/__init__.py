"""Users of a directory."""
