"""What other LFS servers keep: their directories, databases and configurations, read here."""
