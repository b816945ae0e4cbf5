"""The Git LFS protocol as values: pure, without Twisted, I/O or a clock."""
