"""Move all objects from one store to another, while clients use both as one.

``migrator``
    lists the old store, pass by pass, until nothing is left to copy;
``copier``
    copies one object, and verifies it on the way;
``verifying``
    compares two stores without changing anything;
``runs``
    how that is done, and what comes of it;
``journal``
    remembers what was verified, so that a killed run loses little;
``resurfaced``
    removes what was deleted just while it was copied.

No lock is held while an object is copied, so this may happen: its source is deleted, and
then the copy appears.  Deletions begin in the old store (:mod:`giftless.storage.moving`).
So the source is looked at twice: before the copy appears, and then it does not; and after
that, and then the copy goes into the trash as the object has, where nothing is lost.  What
was about to be copied is noted before, for the case that the second look never happens.
"""
