"""The client of LFS servers."""
