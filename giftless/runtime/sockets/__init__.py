"""Endpoints whose sockets one process binds and others accept on.

Twisted's endpoints listen by calling the reactor.  Here they are given an object in
its place.  In the parent it binds sockets and keeps them, without accepting
connections (``binding``); in a worker it uses such a socket instead of binding one
(``adopting``).  So the worker does what else an endpoint does (TLS, the PROXY
protocol), and every endpoint works that listens on one stream socket.
"""
