"""The reactor, with all that it can do: which interfaces it has, mypy cannot know."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed

reactor: Any = installed
