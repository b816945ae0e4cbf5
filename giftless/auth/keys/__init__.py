"""Keyrings: whose the public keys are that clients of SSH show."""
