"""The HTTP front: twisted.web below, Klein for routing, HTTP/1.1 only."""
