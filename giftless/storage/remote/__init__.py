"""What stores behind HTTP (S3, Google Cloud Storage, Azure) have in common.

A vendor's package brings a :class:`~giftless.storage.remote.container.Container`:
how its requests look, are signed, and what the answers mean.  From here come

``client``
    asks with retries, a bound on concurrency and a total time-out;
``credentials``
    keeps credentials fresh in the background;
``streaming``
    passes bytes on in both directions in constant memory;
``metadata``
    content type, file name and ``x-*`` members as a store keeps them;
``store``
    what every store over a container can do;
``reading``
    reads objects through the daemon;
``multipart``
    uploads in parts;
``stores``
    the two kinds of store over a container: ``mode: direct`` signs URLs,
    ``mode: proxy`` streams;
``options``
    the options that every such store has.
"""
