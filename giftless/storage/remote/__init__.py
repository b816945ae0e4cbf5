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
``xml_bucket``, ``xml_parts``, ``xml_answers``
    the XML API that S3 and Google Cloud Storage share;
``base_store``
    what every store over a container can do;
``versions``
    whether an object has the same bytes as before;
``failures``
    what clients are told when a store does not answer;
``listing``
    pages of what is in a container, and the cursors between them;
``opened_object``
    an object that the daemon reads;
``multipart``
    uploads in parts;
``writing``
    objects that the daemon itself writes;
``resumable``
    uploads that come bit by bit, and go on where they broke off;
``modes``
    the two kinds of store over a container: ``mode: direct`` signs URLs,
    ``mode: proxy`` streams;
``options``, ``factory``, ``urls``
    the options that every such store has, and how a store is built from them.
"""
