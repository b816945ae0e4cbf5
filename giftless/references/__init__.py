"""Which objects git repositories need: what garbage collection keeps.

Everything here blocks, and only commands use it.
"""
