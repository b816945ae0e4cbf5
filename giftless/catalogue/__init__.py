"""Where it is kept what is known of objects: catalogues built from a plugin's options.

``store`` is the one implementation over SQL, made of ``entries`` (what is written, and
counted by ``sums``), ``pages`` (lists), ``summaries`` (usage) and ``promises`` (room that
uploads were promised); ``sqlite`` and ``postgresql`` build it over a database of
``giftless.base.database``.  ``recorder`` tells it what has been stored.
"""
