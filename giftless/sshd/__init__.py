"""The daemon's own SSH listener: it encrypts, knows clients by their keys, and relays."""
