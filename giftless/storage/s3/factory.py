"""Build the store that ``storage: {type: s3}`` describes."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from giftless.errors import ConfigError
from giftless.interfaces import Environment
from giftless.storage.remote.client import StoreClient
from giftless.storage.remote.container import Layout
from giftless.storage.remote.credentials import Refreshing, unchanging
from giftless.storage.remote.factory import RemoteFactory
from giftless.storage.remote.options import RemoteOptions, checked_endpoints, checked_key
from giftless.storage.remote.urls import bucket_url
from giftless.storage.s3.bucket import Bucket, Place
from giftless.storage.s3.credentials import WHAT, botocore_chain, found
from giftless.storage.s3.signing import Credentials

#: The names that can be part of a host's (a dot would not match a certificate).
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


class S3Options(RemoteOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``storage: {type: s3}``, beside those of every remote store.

    :ivar bucket: the bucket's name.
    :ivar region: the region that signatures are made for.
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
    addressing: Literal["auto", "path", "virtual"] = "auto"
    access_key_id: str | None = None
    secret_access_key: str | None = None
    profile: str | None = None
    conditional_writes: bool = True
    checksum: bool = True


class S3Factory(RemoteFactory[S3Options]):
    """Builds a store over a bucket."""

    Options = S3Options

    def container(
        self, options: S3Options, layout: Layout, client: StoreClient, environment: Environment
    ) -> Bucket:
        """See :meth:`RemoteFactory.container`."""
        credentials = _credentials(options, environment)
        return Bucket(
            _place(options),
            layout,
            credentials,
            client,
            environment.reactor,
            environment.wall_clock,
        )


def _credentials(options: S3Options, environment: Environment) -> Refreshing[Credentials]:
    key = checked_key(options, "access_key_id", "secret_access_key", "profile")
    if key is not None:
        return unchanging(Credentials(*key), environment.reactor, WHAT)
    try:
        find = botocore_chain(options.profile)
    except ImportError:
        raise ConfigError(
            "access_key_id",
            "is missing, and botocore, which finds credentials elsewhere, is not installed;"
            " install giftless[s3]",
        ) from None
    return found(find, environment.blocking, environment.reactor, environment.wall_clock)


def _place(options: S3Options) -> Place:
    virtual = options.addressing == "virtual"
    suffix = "amazonaws.com.cn" if options.region.startswith("cn-") else "amazonaws.com"
    endpoint, public = checked_endpoints(options, f"https://s3.{options.region}.{suffix}")
    fits = _HOST_LABEL.fullmatch(options.bucket) is not None
    if options.addressing == "auto" and options.endpoint_url is None:
        virtual = fits
    if virtual and not fits:
        raise ConfigError("addressing", "the bucket's name cannot be part of a host's; use path")
    return Place(
        bucket_url(endpoint, options.bucket, virtual),
        bucket_url(public, options.bucket, virtual),
        options.bucket,
        options.region,
        options.conditional_writes,
        options.checksum,
    )
