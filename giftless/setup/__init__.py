"""``giftless setup``: from an operator's answers to files that a server runs with.

:mod:`.values`, :mod:`.kinds` and :mod:`.answers` are what can be answered;
:mod:`.present` reads it from a configuration, :mod:`.sections` turns it into one, and
:mod:`.editing` into changes of one that exists.  :mod:`.proxies` and :mod:`.units` are the
files beside it.  All of that is pure.  :mod:`.asking`, :mod:`.files` and :mod:`.running` are
not.
"""
