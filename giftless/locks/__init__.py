"""Where file locks are kept: stores built from a plugin's options.

``store`` is the one implementation over SQL, ``pool`` lends it connections, and
``sqlite`` and ``postgresql`` are the databases that it can be over.
"""
