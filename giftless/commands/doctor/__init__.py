"""``giftless doctor``: find out, from a clone, why large files do not go up or come down."""
