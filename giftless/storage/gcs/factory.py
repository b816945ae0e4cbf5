"""Build the store that ``storage: {type: gcs}`` describes."""

from __future__ import annotations

import os
import re
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

import msgspec

from giftless.base.urls import check_url
from giftless.errors import ConfigError
from giftless.interfaces import Environment
from giftless.storage.gcs.accounts import found, google_chain
from giftless.storage.gcs.authority import AccountAuthority, Authority, HmacAuthority
from giftless.storage.gcs.bucket import Bucket, Place
from giftless.storage.gcs.signing import encode_path
from giftless.storage.remote.client import StoreClient
from giftless.storage.remote.container import Layout
from giftless.storage.remote.modes import DirectStore, ProxyStore, build_store
from giftless.storage.remote.options import RemoteOptions, checked_prefix

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
    :ivar endpoint_url: where the store is, if not at Google's usual place.
    :ivar public_endpoint_url: where clients reach it, if that is elsewhere.
    :ivar iam_endpoint_url: where URLs are signed if no key is at hand.
    """

    bucket: Annotated[str, msgspec.Meta(min_length=1)]
    credentials_file: str | None = None
    hmac_access_key: str | None = None
    hmac_secret: str | None = None
    service_account_email: str | None = None
    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    iam_endpoint_url: str = "https://iamcredentials.googleapis.com"


class GCSFactory:
    """Builds a store over a bucket; asks nobody yet."""

    Options = GCSOptions

    def build(self, options: GCSOptions, environment: Environment) -> DirectStore | ProxyStore:
        """See :meth:`giftless.interfaces.IStorageFactory.build`.

        :raises ConfigError: if the options contradict each other.
        """
        clock = environment.reactor
        client = StoreClient(environment.http, clock, options.timeout, options.concurrency)
        layout = Layout(checked_prefix(options.prefix))
        authority = _authority(options, client, environment)
        bucket = Bucket(_place(options), layout, authority, client, clock)
        return build_store(options, bucket, client)


def _authority(options: GCSOptions, client: StoreClient, environment: Environment) -> Authority:
    key, secret = options.hmac_access_key, options.hmac_secret
    if (key is None) != (secret is None):
        missing = "hmac_secret" if secret is None else "hmac_access_key"
        raise ConfigError(missing, "is missing; set both halves of the key, or none")
    if key is not None and secret is not None:
        for name in ("credentials_file", "service_account_email"):
            if getattr(options, name) is not None:
                raise ConfigError(name, "is set beside 'hmac_access_key'; set one of them")
        return HmacAuthority(key, secret, environment.reactor)
    email = options.service_account_email
    if email is not None and _EMAIL.fullmatch(email) is None:
        raise ConfigError(
            "service_account_email", f"found {email!r}, allowed is name@domain of a service account"
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
    accounts = found(find, environment.blocking, environment.reactor)
    return AccountAuthority(
        accounts, email, iam_url, client, environment.blocking, environment.reactor
    )


def _place(options: GCSOptions) -> Place:
    if options.endpoint_url is not None:
        endpoint = check_url("endpoint_url", options.endpoint_url)
    else:
        emulator = os.environ.get(EMULATOR_VARIABLE, "")
        if emulator and "://" not in emulator:
            emulator = f"http://{emulator}"
        endpoint = check_url("endpoint_url", emulator or ENDPOINT)
    public = endpoint
    if options.public_endpoint_url is not None:
        public = check_url("public_endpoint_url", options.public_endpoint_url)
    return Place(
        _bucket_url(endpoint, options.bucket),
        _bucket_url(public, options.bucket),
        options.mode == "direct",
    )


def _bucket_url(endpoint: str, bucket: str) -> str:
    parts = urlsplit(endpoint)
    # Clients leave a default port out of the Host header, which is signed.
    host = parts.netloc.lower().removesuffix({"http": ":80", "https": ":443"}[parts.scheme])
    return urlunsplit((parts.scheme, host, f"{parts.path}/{encode_path(bucket)}", "", ""))
