"""Authentication by JSON Web Tokens: their signatures, and where keys are."""
