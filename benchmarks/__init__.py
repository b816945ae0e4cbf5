"""Speed, always as a ratio to something that runs beside it."""
