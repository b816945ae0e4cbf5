"""``giftless keys``: the keys of encrypted storage."""
