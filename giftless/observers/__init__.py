"""The built-in observers of events: an audit log, and webhooks."""
