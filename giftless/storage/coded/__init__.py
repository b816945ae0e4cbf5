"""Objects whose stored bytes are not their own: compressed, encrypted, or both.

A store inside keeps what is made of an object here, and what it gives back is undone.

``head``
    the 512 bytes in front of each such object;
``sealing``
    what encryption is asked for;
``store``
    the store that clients see.
"""
