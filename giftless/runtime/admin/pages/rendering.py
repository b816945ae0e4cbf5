"""Fill in the templates."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from giftless.base.pages import PageReply
from giftless.runtime.admin.pages import words

_PACKAGE: Final = "giftless.runtime.admin.pages"

#: Nothing from elsewhere, nothing in the page itself, and no other site's page around it.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

#: What every reply has.  ``Referrer-Policy`` names this origin to itself: with
#: ``no-referrer``, the ``Origin`` of a form would be ``null``.
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

#: The files that pages need, and what they are.
_STATIC: Final = {
    "style.css": "text/css; charset=utf-8",
    "refresh.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@cache
def _templates() -> Mapping[str, Template]:
    """Read all templates, by their names.  To translate them takes a fifth of a second."""
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clock=words.clock,
        moment=words.moment,
        number=words.number,
        seen=words.seen,
        size=words.size,
        span=words.span,
    )
    return {name: environment.get_template(name) for name in environment.list_templates()}


class Renderer:
    """Makes replies of templates and static files.

    All are read at once, before an upgrade can exchange some of them.
    """

    def __init__(self) -> None:
        self._templates = _templates()
        self._static = {
            name: PageReply(
                200,
                {"Content-Type": kind, **HEADERS},
                files(_PACKAGE).joinpath("static", name).read_bytes(),
            )
            for name, kind in _STATIC.items()
        }

    def page(self, template: str, status: int = 200, **values: Any) -> PageReply:
        """Fill in a template.

        :param values: what its names stand for.
        """
        text = self._templates[template].render(**values)
        headers = {"Content-Type": "text/html; charset=utf-8", **HEADERS}
        return PageReply(status, headers, text.encode(errors="replace"))

    def problem(self, status: int, message: str, public: bool) -> PageReply:
        """Say why there is no page."""
        title = HTTPStatus(status).phrase
        return self.page("problem.html", status, title=title, message=message, public=public)

    def json(self, facts: object, status: int = 200) -> PageReply:
        """Tell facts to a program."""
        headers = {"Content-Type": "application/json", **HEADERS}
        return PageReply(status, headers, msgspec.json.encode(facts))

    def static(self, name: str) -> PageReply | None:
        """Return a static file; ``None`` if there is none of that name."""
        return self._static.get(name)
