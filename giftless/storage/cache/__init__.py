"""``storage: {type: cache}``: copies on a local disk of what a far store keeps.

The store is asked each time whether an object exists; only its bytes come from the disk.

``entries``
    the directory: which files there are, and whether they are what they should be;
``reads``
    :class:`~giftless.storage.cache.reads.CachedReads`: an object is opened, from the disk if
    it is there, else while it comes; needs no store behind it;
``building``
    makes one of these for a factory's options.
"""
