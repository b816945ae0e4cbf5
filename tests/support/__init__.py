"""Small, real implementations of giftless's interfaces that tests are built from."""
