"""Authentication by forges: GitHub, Gitea and GitLab."""
