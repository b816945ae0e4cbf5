"""Certificates of OpenSSH: an authority has signed which users a key is for."""
