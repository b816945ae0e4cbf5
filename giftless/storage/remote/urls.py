"""The URLs of buckets, and of the objects in them."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit


def encode_path(path: str) -> str:
    """Percent-encode a path: everything but RFC 3986's unreserved characters and ``/``."""
    return quote(path, safe="/")


def bucket_url(endpoint: str, bucket: str, virtual: bool = False) -> str:
    """Return a bucket's URL, without a slash at its end.

    :param endpoint: the store's URL.
    :param virtual: whether the bucket's name stands in front of the host
        instead of in the path.
    """
    parts = urlsplit(endpoint)
    # Clients leave a default port out of the Host header, which is signed.
    host = parts.netloc.lower().removesuffix({"http": ":80", "https": ":443"}[parts.scheme])
    if virtual:
        return urlunsplit((parts.scheme, f"{bucket}.{host}", parts.path, "", ""))
    return urlunsplit((parts.scheme, host, f"{parts.path}/{encode_path(bucket)}", "", ""))


def bucket_root(url: str) -> str:
    """Return the URL that questions about the bucket itself go to.

    :param url: the bucket's URL, without a slash at its end.
    """
    return url if urlsplit(url).path else f"{url}/"


def shown_url(url: str) -> str:
    """Return a bucket's URL for an error: without path and bucket, which may be secrets.

    :param url: the bucket's URL, as :func:`bucket_url` makes it.
    """
    parts = urlsplit(url)
    host = parts.netloc if parts.path else f"\u2026.{parts.netloc.partition('.')[2]}"
    return f"{parts.scheme}://{host}"
