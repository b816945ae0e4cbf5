"""Tests of :mod:`giftless.storage.encrypted`."""
