"""Authentication by passwords: htpasswd files, and files of grants."""
