"""``storage: {type: cache}``: copies on a local disk of what a far store keeps.

The store is asked each time whether an object exists; only its bytes come from the disk.

``reads``
    :class:`~giftless.storage.cache.reads.CachedReads`: an object is opened, from the disk if
    it is there, else while it comes; needs no store behind it;
``opened_object``
    what is given out: an entry, or an object that comes;
``growth``
    a file that is read while it grows, whichever process fills it;
``filling``, ``parts``
    an object is pulled from where it is kept, into a file that one process at a time fills;
``entries``, ``checks``
    which files there are, and whether they are what they should be;
``ceiling``
    how much there is, and who makes room;
``context``
    what all of these are given;
``building``
    makes a cache for a factory's options;
``store``, ``factory``
    a store with a cache in front of it.
"""
