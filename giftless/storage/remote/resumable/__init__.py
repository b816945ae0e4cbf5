"""Uploads that go on where they broke off, kept in the store alone.

What has come lies below ``.giftless/resumable/`` of the store's prefix, where no
repository can be: whole parts as an upload in parts that has not ended, and the bytes
behind them as small objects, the *pieces*, whose names say which bytes they are.  The
object is made there, compared with its oid, and only then copied to its own place.

``staging``
    where an upload lies, and what its pieces are called;
``found``
    what has come of one, as the store has it;
``spool``, ``bodies``
    bytes of a part that wait on disk, and those that the store has, as one body;
``context``
    the parts that resumable uploads to one store share;
``staged``
    adds pieces and parts to an upload, or throws it away;
``receiving``
    makes pieces and parts of bytes as they come;
``making``
    makes the object;
``claimed``, ``store``
    what :class:`~giftless.interfaces.IResumableStore` asks for;
``sweeping``
    removes what nobody goes on with.
"""
