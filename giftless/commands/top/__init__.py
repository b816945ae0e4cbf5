"""``giftless top``: what the server does, in a terminal."""
