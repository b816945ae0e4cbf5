"""SQL databases: their dialects, the history of their schemas, and a pool of connections."""
