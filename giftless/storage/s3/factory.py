"""Build the store that ``storage: {type: s3}`` describes."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec

from giftless.base.urls import check_url
from giftless.errors import ConfigError
from giftless.interfaces import Environment
from giftless.storage.remote.client import StoreClient
from giftless.storage.remote.container import Layout
from giftless.storage.remote.credentials import Refreshing
from giftless.storage.remote.modes import DirectStore, ProxyStore, build_store
from giftless.storage.remote.options import RemoteOptions, checked_prefix
from giftless.storage.s3.bucket import Bucket, Place
from giftless.storage.s3.credentials import botocore_chain, found, static
from giftless.storage.s3.signing import Credentials, encode_path

#: The names that can be part of a host's (a dot would not match a certificate).
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


class S3Options(RemoteOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``storage: {type: s3}``, beside those of every remote store.

    :ivar bucket: the bucket's name.
    :ivar region: the region that signatures are made for.
    :ivar endpoint_url: where the store is, if it is not Amazon's.
    :ivar public_endpoint_url: where clients reach it, if that is elsewhere.
    :ivar addressing: whether the bucket stands in the URL's path or in front
        of the host; ``auto``: in front for Amazon, in the path elsewhere.
    :ivar access_key_id: with the secret, what signs; without, botocore's chain
        of providers is asked.
    :ivar secret_access_key: the secret; best from the environment.
    :ivar profile: the profile of the AWS configuration files to use.
    :ivar conditional_writes: whether uploads are signed with
        ``If-None-Match: *``, so that nothing is ever overwritten.
    :ivar checksum: whether uploads are signed with ``x-amz-checksum-sha256``,
        so that the store refuses other bytes.
    """

    bucket: Annotated[str, msgspec.Meta(min_length=1)]
    region: Annotated[str, msgspec.Meta(min_length=1)] = "us-east-1"
    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    access_key_id: str | None = None
    secret_access_key: str | None = None
    profile: str | None = None
    conditional_writes: bool = True
    checksum: bool = True


class S3Factory:
    """Builds a store over a bucket; asks nobody yet."""

    Options = S3Options

    def build(self, options: S3Options, environment: Environment) -> DirectStore | ProxyStore:
        """See :meth:`giftless.interfaces.IStorageFactory.build`.

        :raises ConfigError: if the options contradict each other.
        """
        clock = environment.reactor
        client = StoreClient(environment.http, clock, options.timeout, options.concurrency)
        layout = Layout(checked_prefix(options.prefix))
        credentials = _credentials(options, environment)
        bucket = Bucket(_place(options), layout, credentials, client, clock)
        return build_store(options, bucket, client)


def _credentials(options: S3Options, environment: Environment) -> Refreshing[Credentials]:
    key, secret = options.access_key_id, options.secret_access_key
    if (key is None) != (secret is None):
        missing = "secret_access_key" if secret is None else "access_key_id"
        raise ConfigError(missing, "is missing; set both halves of the key, or none")
    if key is not None and secret is not None:
        if options.profile is not None:
            raise ConfigError("profile", "is set beside 'access_key_id'; set one of them")
        return static(Credentials(key, secret), environment.reactor)
    try:
        find = botocore_chain(options.profile)
    except ImportError:
        raise ConfigError(
            "access_key_id",
            "is missing, and botocore, which finds credentials elsewhere, is not installed;"
            " install giftless[s3]",
        ) from None
    return found(find, environment.blocking, environment.reactor)


def _place(options: S3Options) -> Place:
    virtual = options.addressing == "virtual"
    if options.endpoint_url is None:
        suffix = "amazonaws.com.cn" if options.region.startswith("cn-") else "amazonaws.com"
        endpoint = f"https://s3.{options.region}.{suffix}"
        if options.addressing == "auto":
            virtual = _HOST_LABEL.fullmatch(options.bucket) is not None
    else:
        endpoint = check_url("endpoint_url", options.endpoint_url)
    if options.public_endpoint_url is None:
        public = endpoint
    else:
        public = check_url("public_endpoint_url", options.public_endpoint_url)
    if virtual and _HOST_LABEL.fullmatch(options.bucket) is None:
        raise ConfigError(
            "addressing", f"the bucket {options.bucket!r} cannot be part of a host's name; use path"
        )
    return Place(
        _bucket_url(endpoint, options.bucket, virtual),
        _bucket_url(public, options.bucket, virtual),
        options.region,
        options.conditional_writes,
        options.checksum,
    )


def _bucket_url(endpoint: str, bucket: str, virtual: bool) -> str:
    parts = urlsplit(endpoint)
    # Clients leave a default port out of the Host header, which is signed.
    host = parts.netloc.lower().removesuffix({"http": ":80", "https": ":443"}[parts.scheme])
    if virtual:
        return urlunsplit((parts.scheme, f"{bucket}.{host}", parts.path, "", ""))
    return urlunsplit((parts.scheme, host, f"{parts.path}/{encode_path(bucket)}", "", ""))
