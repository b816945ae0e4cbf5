"""Tools of every other part: threads, concurrency, HTTP clients, bodies, options, databases."""
