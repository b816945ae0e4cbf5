"""Tests of the installed daemon as a process, driven by git, git-lfs and raw HTTP."""
