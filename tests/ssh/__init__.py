"""Tests of the front for SSH: what serves the Unix socket, without any SSH."""
