"""What every other part may use: threads, concurrency, HTTP clients, bodies, options, databases."""
