"""What operators see: metrics and health, on endpoints of their own, served by the parent.

Imported only if the configuration has such endpoints: the parent is small otherwise.
"""
