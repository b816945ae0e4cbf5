"""What OpenSSH's server runs: ``giftless ssh-serve`` and ``giftless ssh-keys``.

A process is started for each session, and a client waits for it.  So these modules
import nothing but Python's own: msgspec and Twisted would take most of the time.
"""
