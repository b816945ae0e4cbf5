"""For tools that expect a ``setup.py``; everything stands in ``pyproject.toml``."""

from setuptools import setup

setup()
