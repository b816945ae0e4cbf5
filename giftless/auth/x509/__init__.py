"""Authentication by certificates of TLS (X.509)."""
