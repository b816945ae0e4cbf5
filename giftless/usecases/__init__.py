"""What the server does, the same for every front; and who may do what."""
