"""Certificates of clients."""
