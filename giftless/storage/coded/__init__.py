"""Objects whose stored bytes are not their own: compressed, encrypted, or both.

A store inside keeps what is made of an object here, and what it gives back is undone.

``head``
    the 512 bytes in front of each such object;
``sealing``
    what encryption is asked for;
``frames``, ``zstd``
    the layout of compressed content, and what packs and unpacks it;
``compressing``
    which objects are worth it;
``coding``, ``writing``
    bytes on their way into the store;
``opening``, ``opened``, ``unpacked``, ``views``
    bytes on their way out of it;
``steady``
    open objects that are read on while they are stored anew;
``recoding``
    objects that are coded after the store inside has made them;
``parts``, ``resumable``
    objects that come in parts, and bit by bit;
``sizes``
    the sizes that clients are told;
``store``
    the store that clients see;
``factory``
    builds ``type: compressed``.
"""
