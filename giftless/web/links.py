"""The absolute URLs that batch replies point to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

from zope.interface import implementer

from giftless.interfaces import ILinks
from giftless.lfs.objects import Oid, Repo

#: What stands behind a repository in the long form of its URLs.
_INFO_LFS: Final = ("info", "lfs")

#: Stands for the path of a repository in words for people.
EXAMPLE_REPO: Final = "/ORG/REPO.git"


def example_api(base_url: str) -> str:
    """Return how ``lfs.url`` is written, for people.

    :param base_url: the server's root, without a slash at the end.
    """
    return "/".join((f"{base_url}{EXAMPLE_REPO}", *_INFO_LFS))


@implementer(ILinks)
class Links:
    """A repository's endpoints, under the URL by which the client came in.

    :param base_url: the server's root, without a slash at the end.
    :param segments: the decoded path segments in front of ``objects``.
    :ivar base_url: the server's root.
    """

    def __init__(self, base_url: str, segments: Sequence[str]) -> None:
        self.base_url = base_url
        self._segments = segments
        path = "/".join(quote(segment, safe="") for segment in segments)
        self._repo = f"{base_url}/{path}"
        self._root = f"{self._repo}/objects/storage"

    def to(self, repo: Repo) -> Links:
        """Return the endpoints of a repository, under URLs of the same form."""
        api = [] if tuple(self._segments[-2:]) != _INFO_LFS else list(_INFO_LFS)
        last = self._segments[-len(api) - 1]
        *parents, name = repo.segments
        # One ".git" is dropped from names.
        suffix = ".git" if last.endswith(".git") or name.endswith(".git") else ""
        return Links(self.base_url, [*parents, f"{name}{suffix}", *api])

    def storage(self, oid: Oid, parameters: Mapping[str, str]) -> str:
        """See :meth:`giftless.interfaces.ILinks.storage`."""
        # Not by formatting: that takes twice as long for an oid, and a batch asks for many.
        return self._root + "/" + oid + _query(parameters)

    def verify(self) -> str:
        """See :meth:`giftless.interfaces.ILinks.verify`."""
        return f"{self._root}/verify"

    def parts(self, oid: Oid, step: str = "") -> str:
        """See :meth:`giftless.interfaces.ILinks.parts`."""
        return f"{self._root}/{oid}/parts/{step}" if step else f"{self._root}/{oid}/parts"

    def endpoint(self, path: str, parameters: Mapping[str, str] = {}) -> str:
        """See :meth:`giftless.interfaces.ILinks.endpoint`."""
        return f"{self._repo}/{quote(path)}{_query(parameters)}"


def _query(parameters: Mapping[str, str]) -> str:
    return f"?{urlencode(parameters)}" if parameters else ""
