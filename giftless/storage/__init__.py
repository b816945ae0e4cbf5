"""Storage backends, one module or package each."""
