"""Tests of the commands that OpenSSH's server runs."""
