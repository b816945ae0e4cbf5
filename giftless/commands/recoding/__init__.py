"""Objects stored anew in another form, or only their heads, while the daemon serves.

``stores``
    finds the storage of a configuration that does so;
``running``
    goes through it, and says how far it is and what was done.

``giftless compress``, ``giftless encrypt`` and ``giftless keys rotate`` are made of these.
"""
