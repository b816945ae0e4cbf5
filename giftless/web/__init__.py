"""The HTTP front: llhttp for parsing, Klein for routing, HTTP/1.1 only."""
