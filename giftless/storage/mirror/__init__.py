"""``storage: {type: mirror}``: another LFS server, whose objects' bytes are kept here.

That server decides who may do what: it is asked for every batch, with the credential of
whoever asks here.

``upstreams``
    which server has a repository, and under what path;
``dialling``
    connections to it, and to where it may lead;
``rewinding``
    what is sent again where a redirect leads;
``asking``
    requests within limits, and redirects that carry no secret to another host;
``errors``, ``refusals``
    its errors become ours;
``passes``
    its actions, sealed for the token of ours;
``objects``
    its objects, opened;
``permissions``
    who was allowed to read what, for when it cannot be reached;
``batches``
    what it says of objects;
``callers``
    the store as one caller sees it;
``locks``
    its locks;
``store``, ``factory``
    all of it together.
"""
