"""``giftless keys`` and ``giftless encrypt``: the keys of encrypted storage, and what has none."""
