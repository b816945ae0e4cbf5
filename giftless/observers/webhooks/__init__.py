"""Webhooks: events as signed HTTP requests (standardwebhooks.com), from an outbox that lasts.

An event goes from ``observer`` over a ``journal`` into the database of ``outbox``.  One
process at a time (``leases``) takes it out again and delivers it (``courier``) by
``sending``, over connections (``connection``) that ``dialling`` makes to addresses that it
has checked.
"""
