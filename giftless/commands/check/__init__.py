"""``giftless check``: try for the operator whether the server can work, now and next month."""
