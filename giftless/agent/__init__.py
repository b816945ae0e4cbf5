"""The transfer agent: large files in parts, for the stock git-lfs client.

``giftless-transfer-agent`` is started by git-lfs, on the user's machine, and
shares nothing with the server but the protocol.  It works with threads and a
blocking HTTP client: git-lfs starts up to eight agents one after the other and
waits for each of them, and with Twisted each would take five times as long to start.
"""
