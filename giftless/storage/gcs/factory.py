"""Build the store that ``storage: {type: gcs}`` describes."""

from __future__ import annotations

import os
import re
from typing import Annotated

import msgspec

from giftless.base.showing import describe
from giftless.base.urls import check_url
from giftless.errors import ConfigError
from giftless.interfaces import Environment
from giftless.storage.gcs.accounts import found, google_chain
from giftless.storage.gcs.authority import AccountAuthority, Authority, HmacAuthority
from giftless.storage.gcs.bucket import Bucket, Place
from giftless.storage.remote.client import StoreClient
from giftless.storage.remote.container import Layout
from giftless.storage.remote.factory import RemoteFactory
from giftless.storage.remote.options import RemoteOptions, checked_endpoints, checked_key
from giftless.storage.remote.urls import bucket_url

#: Where Cloud Storage is.
ENDPOINT = "https://storage.googleapis.com"

#: Names another place, for Google's own clients too; the scheme may be missing.
EMULATOR_VARIABLE = "STORAGE_EMULATOR_HOST"

_EMAIL = re.compile(r"[^@/\s]+@[^@/\s]+")


class GCSOptions(RemoteOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``storage: {type: gcs}``, beside those of every remote store.

    :ivar bucket: the bucket's name.
    :ivar credentials_file: a service account's key in JSON; without one, and
        without an HMAC key, google-auth's usual chain is asked.
    :ivar hmac_access_key: with the secret, an HMAC key that signs instead.
    :ivar hmac_secret: its secret; best from the environment.
    :ivar service_account_email: the service account that URLs are signed as, if
        the credentials are not its own.
    :ivar iam_endpoint_url: where URLs are signed if no key is at hand.
    """

    bucket: Annotated[str, msgspec.Meta(min_length=1)]
    credentials_file: str | None = None
    hmac_access_key: str | None = None
    hmac_secret: str | None = None
    service_account_email: str | None = None
    iam_endpoint_url: str = "https://iamcredentials.googleapis.com"


class GCSFactory(RemoteFactory[GCSOptions]):
    """Builds a store over a bucket."""

    Options = GCSOptions

    def container(
        self, options: GCSOptions, layout: Layout, client: StoreClient, environment: Environment
    ) -> Bucket:
        """See :meth:`RemoteFactory.container`."""
        authority = _authority(options, client, environment)
        return Bucket(_place(options), layout, authority, client, environment.reactor)


def _authority(options: GCSOptions, client: StoreClient, environment: Environment) -> Authority:
    others = ("credentials_file", "service_account_email")
    key = checked_key(options, "hmac_access_key", "hmac_secret", *others)
    if key is not None:
        return HmacAuthority(*key, environment.wall_clock)
    email = options.service_account_email
    if email is not None and _EMAIL.fullmatch(email) is None:
        raise ConfigError(
            "service_account_email",
            f"found {describe(email)}, allowed is name@domain of a service account",
        )
    iam_url = check_url("iam_endpoint_url", options.iam_endpoint_url)
    try:
        find = google_chain(options.credentials_file)
    except ImportError:
        raise ConfigError(
            "hmac_access_key",
            "is missing, and google-auth, which other credentials need, is not installed;"
            " install giftless[gcs]",
        ) from None
    blocking, clock, wall_clock = environment.blocking, environment.reactor, environment.wall_clock
    accounts = found(find, blocking, clock, wall_clock)
    return AccountAuthority(accounts, email, iam_url, client, blocking, clock, wall_clock)


def _place(options: GCSOptions) -> Place:
    usual = os.environ.get(EMULATOR_VARIABLE) or ENDPOINT
    if "://" not in usual:
        usual = f"http://{usual}"
    endpoint, public = checked_endpoints(options, usual)
    return Place(
        bucket_url(endpoint, options.bucket),
        bucket_url(public, options.bucket),
        options.bucket,
        options.mode == "direct",
        bucket_url(f"{endpoint}/storage/v1/b", options.bucket) + "/o",
    )
