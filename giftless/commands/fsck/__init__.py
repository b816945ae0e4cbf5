"""``giftless fsck``: is all that is stored what it should be?"""
