"""Read everything that is stored, slowly and again and again, and compare it with its names."""
