"""Whether two storages keep their objects in one place, by what their sections say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

#: The option of a storage that says which way bytes go, and not where they are.
_MODE: Final = "mode"


def is_same_place(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether objects would move to where they are.

    :param one: the section of a storage, with its ``type`` and options.
    :param other: another one.
    """
    return _place_of(one) == _place_of(other)


def _place_of(section: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what says where the objects of a storage are: of a wrapper, those of its store."""
    inner: Any = section.get("store")
    if isinstance(inner, Mapping):
        return _place_of(inner)
    place = {name: value for name, value in section.items() if name != _MODE}
    if isinstance(path := place.get("path"), str):
        place["path"] = os.path.realpath(path)
    return place
