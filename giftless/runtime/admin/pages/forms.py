"""Read queries and forms, and write links."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlencode

from giftless.base.pages import PageRequest
from giftless.runtime.admin.pages.problem import Problem

T = TypeVar("T")

#: How many fields a form or a query may have.
_MAX_FIELDS: Final = 20


def query_of(request: PageRequest) -> Mapping[str, str]:
    """Read the query of a request; the first value of a field counts.

    :raises Problem: if it has too many fields.
    """
    return _fields(request.query)


def form_of(request: PageRequest) -> Mapping[str, str]:
    """Read the form that a request brings.

    :raises Problem: if it brings none, or one with too many fields.
    """
    if request.kind.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Problem(415, "a form is needed")
    return _fields(request.body.decode("latin-1"))


def _fields(text: str) -> Mapping[str, str]:
    try:
        read: dict[str, list[Any]] = parse_qs(text, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise Problem(400, "the form has too many fields") from None
    return {name: values[0] for name, values in read.items()}


def one_of(text: str, allowed: Collection[T], default: T) -> T:
    """Return the value that a field names, or the default."""
    return next((value for value in allowed if value == text), default)


def number_of(text: str) -> int:
    """Read the number of a page, from 1 on."""
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def link(place: str, **fields: str) -> str:
    """Return the URL of a page with a query.

    :param place: the page's name.
    :param fields: the query; empty fields are left out.
    """
    query = urlencode({name: value for name, value in fields.items() if value})
    return f"{place}?{query}" if query else place
