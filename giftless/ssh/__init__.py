"""Git LFS over SSH: sessions of ``git-lfs-transfer`` and ``git-lfs-authenticate``."""
