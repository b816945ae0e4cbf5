"""Worker processes: kept, watched and replaced by their parent."""
