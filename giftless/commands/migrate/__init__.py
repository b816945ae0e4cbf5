"""``giftless migrate``: move objects, locks or the catalogue to another place."""
