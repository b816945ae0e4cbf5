"""Tests of the protocol of Git LFS over SSH."""
