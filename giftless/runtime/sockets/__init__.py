"""Endpoints whose sockets one process binds and others accept on.

Twisted's endpoints listen by calling the reactor.  Here they are given
something in its place: in the parent what keeps the sockets that are bound,
and does not accept (``binding``); in a worker what takes such a socket instead
of binding one (``adopting``).  So whatever an endpoint does besides (TLS, a
proxy's protocol) is done in the worker, and any endpoint will do that listens
on one stream socket.
"""
