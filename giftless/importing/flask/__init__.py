"""Translate the configuration of the giftless that was a Flask application (0.6.2)."""
