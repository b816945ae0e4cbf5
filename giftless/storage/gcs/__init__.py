"""Google Cloud Storage, by its XML API."""
