"""Which server has a repository, and under what path: ``upstreams`` of the options."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import quote

import msgspec

from giftless.base.schema import below
from giftless.base.showing import describe
from giftless.base.urls import check_url
from giftless.errors import BadRequest, ConfigError, NotFound
from giftless.interfaces import Bearer, Credential, Password
from giftless.lfs.objects import Repo
from giftless.storage.mirror.asking import Asker

#: What stands for the repository's path in the path of a server's API.
_REPO: Final = "{repo}"


class UpstreamOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the servers that are mirrored.

    :ivar url: where it is.
    :ivar prefix: what the paths of its repositories begin with here; empty for all that no
        other has.
    :ivar path: where the LFS API of a repository is below the URL; ``{repo}`` stands for the
        repository's path there: what it is here, without the prefix.
    :ivar networks: where it may lead although that is nearer to this server than itself:
        addresses and networks.
    """

    url: str
    prefix: str = ""
    path: Annotated[str, msgspec.Meta(max_length=1000)] = "{repo}.git/info/lfs"
    networks: list[str] = []

    def checked(self) -> UpstreamOptions:
        """Return the same without slashes at the ends of URL and prefix.

        :raises ConfigError: if something cannot be used; its path is one of these options.
        """
        url, prefix, path = check_url("url", self.url), self.prefix.strip("/"), self.path.strip("/")
        if path.count(_REPO) != 1 or set("{}") & set(path.replace(_REPO, "")):
            raise ConfigError("path", f"found {describe(path)}, allowed is a path with {_REPO}")
        check_url("path", f"{url}/{path.replace(_REPO, 'a/b')}")
        if prefix:
            try:
                Repo.parse(prefix.split("/"))
            except BadRequest as error:
                raise ConfigError("prefix", f"is not the beginning of a path: {error}") from None
        return UpstreamOptions(url=url, prefix=prefix, path=path, networks=self.networks)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a repository is.

    :ivar asker: sends requests there.
    :ivar api: the URL of its LFS API, without a slash at its end.
    """

    asker: Asker
    api: str


class Upstreams:
    """Finds the servers of repositories.

    :param upstreams: the options of each, checked, and what sends requests to it.
    :raises ConfigError: if two have the same prefix.
    """

    def __init__(self, upstreams: Sequence[tuple[UpstreamOptions, Asker]]) -> None:
        self._found: dict[tuple[str, ...], tuple[UpstreamOptions, Asker]] = {}
        for index, (options, asker) in enumerate(upstreams):
            segments = tuple(options.prefix.split("/")) if options.prefix else ()
            if segments in self._found:
                raise below(
                    f"upstreams.{index}",
                    ConfigError("prefix", "is that of another upstream; give each its own"),
                )
            self._found[segments] = options, asker

    def find(self, repo: Repo) -> Place:
        """Return where a repository is: at the server with the longest prefix of its path.

        :raises NotFound: if no server has it.
        """
        for length in range(len(repo.segments) - 1, -1, -1):
            found = self._found.get(repo.segments[:length])
            if found is not None:
                options, asker = found
                path = "/".join(quote(each, safe="") for each in repo.segments[length:])
                return Place(asker, f"{options.url}/{options.path.replace(_REPO, path)}")
        raise NotFound(f"no server that is mirrored here has {repo}")


def authorization(credential: Credential | None) -> Mapping[str, str]:
    """Return the header that shows a credential, as its owner has sent it."""
    if isinstance(credential, Password):
        pair = f"{credential.user}:{credential.password}".encode("utf-8", "surrogatepass")
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    if isinstance(credential, Bearer):
        return {"Authorization": f"Bearer {credential.token}"}
    return {}
