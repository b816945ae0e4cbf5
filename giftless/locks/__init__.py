"""Where file locks are kept: stores built from a plugin's options.

``store`` is the one implementation over SQL; ``sqlite`` and ``postgresql`` build it
over a database of ``giftless.base.database``.
"""
