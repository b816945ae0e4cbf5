"""Tests of ``giftless.setup``."""
