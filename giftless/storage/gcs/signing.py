"""V4 signatures for Google Cloud Storage: pure functions of request and instant.

As in Cloud Storage's reference, "V4 signing process with your own program".
What is signed is made here, and so are signatures with an HMAC key; those with
RSA are made elsewhere (:mod:`giftless.storage.gcs.authority`), because they
take long.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlsplit

#: The two ways to sign.
RSA: Final = "GOOG4-RSA-SHA256"
HMAC: Final = "GOOG4-HMAC-SHA256"

#: The longest that a signature may be good, in seconds: seven days.
MAX_EXPIRES: Final = 604_800


@dataclass(frozen=True, slots=True)
class Draft:
    """A request that is not signed yet.

    :ivar url: scheme, host and percent-encoded path; no query.
    :ivar parameters: the query, not encoded.
    :ivar headers: what must be sent with it, beside ``Host``.
    """

    method: str
    url: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole_url(self) -> str:
        """The URL with its query."""
        query = _canonical_query(self.parameters)
        return f"{self.url}?{query}" if query else self.url

    def __repr__(self) -> str:
        """Leave out headers and query: they hold signatures."""
        return f"<Draft {self.method} {self.url}>"


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A request that is complete but for its signature.

    :ivar url: with its whole query, but for the signature.
    """

    url: str
    canonical_request: str
    string_to_sign: str

    def signed(self, signature: bytes) -> str:
        """Return the whole URL."""
        return f"{self.url}&X-Goog-Signature={signature.hex()}"


def prepare(draft: Draft, algorithm: str, signer: str, instant: float, expires: int) -> Unsigned:
    """Make the canonical request of a draft, and the text to sign.

    :param algorithm: :data:`RSA` or :data:`HMAC`.
    :param signer: a service account's address, or an HMAC key's access id.
    :param instant: now, in seconds since the epoch.
    :param expires: for how many seconds it is good.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(instant))
    scope = f"{stamp[:8]}/auto/storage/goog4_request"
    parts = urlsplit(draft.url)
    lines = {name.lower(): " ".join(value.split()) for name, value in draft.headers.items()}
    # Whoever signs a body's hash sends it as a header.
    payload = lines.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD")
    lines["host"] = parts.netloc
    names = ";".join(sorted(lines))
    query = _canonical_query(
        {
            **draft.parameters,
            "X-Goog-Algorithm": algorithm,
            "X-Goog-Credential": f"{signer}/{scope}",
            "X-Goog-Date": stamp,
            "X-Goog-Expires": str(expires),
            "X-Goog-SignedHeaders": names,
        }
    )
    headers = "".join(f"{name}:{lines[name]}\n" for name in sorted(lines))
    request = "\n".join((draft.method, parts.path or "/", query, headers, names, payload))
    digest = sha256(request.encode()).hexdigest()
    return Unsigned(f"{draft.url}?{query}", request, f"{algorithm}\n{stamp}\n{scope}\n{digest}")


def hmac_signature(secret: str, string_to_sign: str) -> bytes:
    """Sign with the secret of an HMAC key."""
    day = string_to_sign.split("\n")[2].partition("/")[0]
    return hmac.digest(_signing_key(secret, day), string_to_sign.encode(), "sha256")


@lru_cache(maxsize=8)
def _signing_key(secret: str, day: str) -> bytes:
    key = f"GOOG4{secret}".encode()
    for part in (day, "auto", "storage", "goog4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _canonical_query(parameters: Mapping[str, str]) -> str:
    encoded = sorted((quote(k, safe=""), quote(v, safe="")) for k, v in parameters.items())
    return "&".join(f"{name}={value}" for name, value in encoded)
