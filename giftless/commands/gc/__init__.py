"""``giftless gc``: move what no ref leads to into the trash."""
