"""``giftless import``: take in what another LFS server has."""
