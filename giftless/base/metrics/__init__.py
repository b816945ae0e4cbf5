"""Counts that several processes keep, each in memory of its own, and one adds up."""
