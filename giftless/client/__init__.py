"""What speaks to an LFS server as its client: for the rescue, the import and the doctor."""
