"""Signature Version 4 for S3: pure functions of request, credentials and instant.

As in Amazon S3's API reference, "Authenticating Requests (AWS Signature
Version 4)": in the query for what clients do, in headers for what the daemon
does itself.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlsplit

#: What stands for the hash of a body that is not signed.
UNSIGNED: Final = "UNSIGNED-PAYLOAD"

#: The SHA-256 of no bytes, in hexadecimal.
EMPTY: Final = sha256().hexdigest()

#: The longest that a signature may be good, in seconds: seven days.
MAX_EXPIRES: Final = 604_800

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key that signs requests.

    :ivar session_token: of temporary credentials.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        """Leave out what is secret."""
        return f"<Credentials {self.access_key_id}>"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs requests to one region.

    :ivar credentials: what signs.
    :ivar region: the region's name, e.g. ``eu-central-1``.
    """

    credentials: Credentials
    region: str

    def presign(
        self,
        method: str,
        url: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        instant: float,
        expires: int,
    ) -> str:
        """Sign a request that somebody else sends, in its query.

        :param url: scheme, host and percent-encoded path; no query.
        :param parameters: the query, not encoded.
        :param headers: what must be sent with it, beside ``Host``.
        :param instant: now, in seconds since the epoch.
        :param expires: for how many seconds it is good.
        :returns: the whole URL.
        """
        stamp = _stamp(instant)
        scope = self._scope(stamp)
        host, path = _split(url)
        names, canonical_headers = _canonical_headers({**headers, "host": host})
        credentials = self.credentials
        query = {
            **parameters,
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(expires),
            "X-Amz-SignedHeaders": names,
        }
        if credentials.session_token is not None:
            query["X-Amz-Security-Token"] = credentials.session_token
        canonical_query = _canonical_query(query)
        request = "\n".join((method, path, canonical_query, canonical_headers, "", names, UNSIGNED))
        signature = self._sign(request, stamp, scope)
        return f"{url}?{canonical_query}&X-Amz-Signature={signature}"

    def authorize(
        self,
        method: str,
        url: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        payload: str,
        instant: float,
    ) -> tuple[str, dict[str, str]]:
        """Sign a request in its headers, to be sent at once.

        :param payload: the SHA-256 of the body in hexadecimal, or
            :data:`UNSIGNED`.
        :returns: the whole URL and all headers but ``Host``.
        """
        stamp = _stamp(instant)
        scope = self._scope(stamp)
        host, path = _split(url)
        sent = {**headers, "x-amz-content-sha256": payload, "x-amz-date": stamp}
        if self.credentials.session_token is not None:
            sent["x-amz-security-token"] = self.credentials.session_token
        names, canonical_headers = _canonical_headers({**sent, "host": host})
        query = _canonical_query(parameters)
        request = "\n".join((method, path, query, canonical_headers, "", names, payload))
        sent["authorization"] = (
            f"{_ALGORITHM} Credential={self.credentials.access_key_id}/{scope},"
            f" SignedHeaders={names}, Signature={self._sign(request, stamp, scope)}"
        )
        return f"{url}?{query}" if query else url, sent

    def _scope(self, stamp: str) -> str:
        return f"{stamp[:8]}/{self.region}/s3/aws4_request"

    def _sign(self, canonical_request: str, stamp: str, scope: str) -> str:
        digest = sha256(canonical_request.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}"
        key = _signing_key(self.credentials.secret_access_key, stamp[:8], self.region)
        return hmac.digest(key, text.encode(), "sha256").hex()


@lru_cache(maxsize=32)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _stamp(instant: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(instant))


def _split(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.netloc, parts.path or "/"


def _canonical_headers(headers: Mapping[str, str]) -> tuple[str, str]:
    """Return the names of the signed headers, and the headers, one a line."""
    lines = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    names = sorted(lines)
    return ";".join(names), "\n".join(f"{name}:{lines[name]}" for name in names)


def _canonical_query(parameters: Mapping[str, str]) -> str:
    encoded = sorted((quote(k, safe=""), quote(v, safe="")) for k, v in parameters.items())
    return "&".join(f"{name}={value}" for name, value in encoded)
