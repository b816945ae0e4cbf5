"""Compare what is stored with what it should be: ``giftless fsck``, and the scrub."""
