"""Shared access signatures for a blob or a container: pure functions of key, request and instant.

As in the reference of Azure's Blob service, "Create a service SAS" and "Create
a user delegation SAS", in the form that they have since version 2020-12-06.
Everything that giftless asks of Azure is authorised so: what clients do, and
what the daemon does itself.
"""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

#: The version of the service that is spoken, and that signatures are made for.
#: Since 2019-12-12 one Put Blob takes 5,000 MiB, and one Put Block 4,000 MiB.
VERSION: Final = "2021-12-02"


@dataclass(frozen=True, slots=True)
class AccountKey:
    """A key of a storage account.

    :ivar value: the key, not encoded.
    """

    value: bytes

    def __repr__(self) -> str:
        """Leave out what is secret."""
        return "<AccountKey>"


@dataclass(frozen=True, slots=True)
class DelegationKey:
    """A key that Azure has lent to an identity, to sign in its name.

    What is signed with it may do what the identity may do, and no more.

    :ivar value: the key, not encoded.
    :ivar object_id: whose it is, in Entra.
    :ivar tenant_id: in which tenant.
    :ivar start: from when on it is good, as Azure writes it.
    :ivar expiry: until when.
    :ivar service: for which service.
    :ivar version: of which version of the service it is.
    """

    value: bytes
    object_id: str
    tenant_id: str
    start: str
    expiry: str
    service: str
    version: str

    def __repr__(self) -> str:
        """Leave out what is secret."""
        return f"<DelegationKey of {self.object_id} until {self.expiry}>"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a signature permits to do with a blob or a container.

    :ivar permissions: letters in Azure's order: ``r`` read, ``c`` create,
        ``w`` write, ``d`` delete, ``l`` list.
    :ivar disposition: the Content-Disposition of the answer to a download,
        instead of the one that is stored; empty for that one.
    :ivar content_type: the Content-Type, likewise.
    """

    permissions: str
    disposition: str = ""
    content_type: str = ""


def sign_access(
    key: AccountKey | DelegationKey,
    account: str,
    path: str,
    grant: Grant,
    expiry: float,
    https_only: bool,
) -> str:
    """Sign access to one blob, or to a container.

    :param account: the storage account's name.
    :param path: ``{container}/{name}``, not percent-encoded; ``{container}``
        alone for the container.
    :param expiry: until when, in seconds since the epoch; a fraction is cut off.
    :param https_only: whether it is good over TLS only.
    :returns: the query of the URL.
    """
    parameters = {
        "sp": grant.permissions,
        "se": stamp(expiry),
        "spr": "https" if https_only else "",
        "sv": VERSION,
        "sr": "b" if "/" in path else "c",
        "rscd": grant.disposition,
        "rsct": grant.content_type,
    }
    # Empty lines stand for what is not used: start, policy, address, snapshot,
    # encryption scope, and the other headers of the answer.
    if isinstance(key, DelegationKey):
        delegated = {
            "skoid": key.object_id,
            "sktid": key.tenant_id,
            "skt": key.start,
            "ske": key.expiry,
            "sks": key.service,
            "skv": key.version,
        }
        parameters |= delegated
        whose = [*delegated.values(), "", "", ""]
    else:
        whose = [""]
    lines = [
        *(parameters["sp"], "", parameters["se"], f"/blob/{account}/{path}"),
        *whose,
        *("", parameters["spr"], parameters["sv"], parameters["sr"], "", ""),
        *("", parameters["rscd"], "", "", parameters["rsct"]),
    ]
    digest = hmac.digest(key.value, "\n".join(lines).encode(), "sha256")
    parameters["sig"] = base64.b64encode(digest).decode()
    return "&".join(
        f"{name}={quote(value, safe='')}" for name, value in parameters.items() if value
    )


def stamp(instant: float) -> str:
    """Write an instant as Azure does: UTC, to the second.

    :param instant: in seconds since the epoch.
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(instant))
