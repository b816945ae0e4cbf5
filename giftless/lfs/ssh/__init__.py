"""Git LFS over SSH as values: command lines, pkt-lines, requests and replies."""
