"""Giftless: a standalone Git LFS server and storage access gateway.

The package's layers, from the bottom up, are described in
``docs/architecture.rst``; imports between them go downward only.
"""

__version__ = "0.1.0"
