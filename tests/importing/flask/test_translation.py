"""Configurations of the Flask giftless, and what becomes of each of their keys."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jwt
import yaml
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.app import config
from giftless.auth.tokens.signatures import verify
from giftless.importing.flask.signing import carried
from giftless.importing.flask.translation import Translation, translate
from giftless.importing.offers import NoSource
from tests.support.tokens import private_key, private_pem, public_pem

#: A secret that is long enough.
SECRET = "0123456789abcdef" * 4

#: The configurations of its documentation, version 0.6.2, as they stand there.
DOCUMENTED = {
    "auth-providers.md": """
AUTH_PROVIDERS:
  - factory: giftless.auth.jwt:factory
    options:
      algorithm: HS256
      private_key: s3cret,don'ttellany0ne
  - giftless.auth.allow_anon:read_only
""",
    "jwt-auth-guide.md": """
AUTH_PROVIDERS:
  - factory: giftless.auth.jwt:factory
    options:
      algorithm: RS256
      public_key_file: jwt-rs256.key.pub
""",
    "quickstart.md": """
AUTH_PROVIDERS:
  - giftless.auth.allow_anon:read_write
""",
    "storage-backends.md": """
TRANSFER_ADAPTERS:
  basic:
    factory: giftless.transfer.basic_streaming:factory
    options:
      storage_class: giftless.storage.google_cloud:GoogleCloudStorage
      storage_options:
        project_name: my-gcp-project
        bucket_name: git-lfs
        account_key_file: /path/to/credentials.json
""",
    "transfer-adapters.md": """
TRANSFER_ADAPTERS:
  multipart-basic:
    factory: giftless.transfer.multipart:factory
    options:
      storage_class: giftless.storage.azure:AzureBlobsStorage
      storage_options:
        connection_string: "somesecretconnectionstringhere"
        container_name: my-multipart-storage
""",
    "using-gcs.md": """
AUTH_PROVIDERS:
  - giftless.auth.allow_anon:read_write

TRANSFER_ADAPTERS:
  basic:
    factory: giftless.transfer.basic_external:factory
    options:
      storage_class: giftless.storage.google_cloud:GoogleCloudStorage
      storage_options:
        project_name: giftless-tests
        bucket_name: giftless-storage
        account_key_file: giftless-gcp-key.json
""",
}


def translated(*auth: Any, **keys: Any) -> Translation:
    """Translate a configuration."""
    if auth:
        keys["AUTH_PROVIDERS"] = list(auth)
    return translate(yaml.safe_dump(keys))


def provider(**options: Any) -> dict[str, Any]:
    """Return a provider that takes tokens."""
    return {"factory": "giftless.auth.jwt:factory", "options": options}


def adapter(kind: str = "", factory: str = "basic_streaming", **options: Any) -> dict[str, Any]:
    """Return an adapter with a storage."""
    classes = {
        "s3": "amazon_s3:AmazonS3Storage",
        "gcs": "google_cloud:GoogleCloudStorage",
        "azure": "azure:AzureBlobsStorage",
        "local": "local_storage:LocalStorage",
    }
    return {
        "factory": f"giftless.transfer.{factory}:factory",
        "options": {
            "storage_class": f"giftless.storage.{classes[kind]}",
            "storage_options": options,
            "action_lifetime": 900,
        },
    }


def results(translation: Translation) -> dict[str, str]:
    """Return what has become of each key."""
    return {note.key: note.result for note in translation.notes.items}


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of all that is no section and no list."""
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    if not items:
        yield path
    for key, inner in items:
        yield from leaves(inner, f"{path}.{key}" if path else str(key))


class DocumentedTests(SynchronousTestCase):
    def test_all_of_them_can_be_translated(self) -> None:
        for name, text in DOCUMENTED.items():
            translation = translate(text)
            self.assertTrue(translation.notes.is_complete, name)
            loaded = config.parse("", translation.as_yaml(), {}).config
            self.assertEqual(loaded.storage, translation.config["storage"], name)

    def test_where_objects_are_stays(self) -> None:
        storages = {name: translate(text).config["storage"] for name, text in DOCUMENTED.items()}
        self.assertEqual(storages["quickstart.md"], {"type": "local", "path": "lfs-storage"})
        self.assertEqual(
            storages["storage-backends.md"],
            {
                "type": "gcs",
                "bucket": "git-lfs",
                "credentials_file": "/path/to/credentials.json",
                "mode": "proxy",
            },
        )
        self.assertEqual(
            storages["transfer-adapters.md"],
            {
                "type": "azure",
                "connection_string": "somesecretconnectionstringhere",
                "container": "my-multipart-storage",
                "mode": "direct",
            },
        )
        self.assertEqual(storages["using-gcs.md"]["mode"], "direct")

    def test_who_may_do_what_stays(self) -> None:
        auth = {name: translate(text).config["auth"] for name, text in DOCUMENTED.items()}
        self.assertEqual(auth["quickstart.md"], [{"type": "anonymous", "access": "read-write"}])
        # Without a word, anybody could read.
        self.assertEqual(auth["storage-backends.md"], [{"type": "anonymous", "access": "read"}])
        self.assertEqual(
            auth["jwt-auth-guide.md"],
            [{"type": "jwt", "algorithms": ["RS256"], "key_file": "jwt-rs256.key.pub"}],
        )


class EveryKeyTests(SynchronousTestCase):
    #: A configuration that says everything there is.
    FULL: Mapping[str, Any] = {
        "TESTING": False,
        "DEBUG": True,
        "LEGACY_ENDPOINTS": False,
        "AUTH_PROVIDERS": [
            provider(
                algorithm="HS256",
                private_key=SECRET,
                private_key_file=None,
                public_key=None,
                public_key_file=None,
                default_lifetime=60,
                key_id="x",
                issuer="me",
                audience="you",
                leeway=3,
                basic_auth_user=None,
            ),
            {
                "factory": "giftless.auth.github:factory",
                "options": {
                    "api_url": "https://github.example/api/v3/",
                    "api_version": "2022-11-28",
                    "api_timeout": [5.0, 10.5],
                    "restrict_to": {"acme": None, "labs": ["probe"]},
                    "cache": {
                        "token_max_size": 10,
                        "auth_max_size": 20,
                        "auth_write_ttl": 900.0,
                        "auth_other_ttl": 30.5,
                    },
                },
            },
            {"factory": "acme.auth:factory", "options": {"a": 1}},
            "giftless.auth.allow_anon:read_only",
        ],
        "PRE_AUTHORIZED_ACTION_PROVIDER": provider(private_key="change-me", key_id="y"),
        "TRANSFER_ADAPTERS": {
            "basic": adapter("s3", bucket_name="b", path_prefix="/p/", endpoint="http://x", y=1),
            "multipart-basic": adapter("gcs", "multipart", bucket_name="b", account_key_base64="x"),
            "custom": {"factory": "acme.transfer:factory", "options": {"x": 1}},
        },
        "MIDDLEWARE": [
            {"class": "werkzeug.middleware.proxy_fix:ProxyFix", "kwargs": {"x_host": 1}},
            {
                "class": "wsgi_cors_middleware:CorsMiddleware",
                "kwargs": {"origin": "https://www.example.com", "methods": ["GET"]},
            },
            {"class": "acme:Middleware", "kwargs": {"x": 1}},
        ],
        "UNKNOWN": 1,
    }

    def assert_named(self, data: Mapping[str, Any], translation: Translation) -> None:
        """Check that each key is named, or one that it is inside of."""
        named = [note.key for note in translation.notes.items]
        for path in leaves(data):
            if path:
                self.assertTrue(
                    any(path == key or path.startswith(f"{key}.") for key in named)
                    # Nothing is said by what says nothing.
                    or _at(data, path) in (None, [], {}),
                    path,
                )

    def test_each_is_translated_or_named(self) -> None:
        self.assert_named(self.FULL, translated(**self.FULL))

    def test_what_cannot_be_translated_says_what_to_do(self) -> None:
        translation = translated(**self.FULL)
        refused = [note for note in translation.notes.items if note.result == "not-translatable"]
        self.assertEqual(
            {note.key for note in refused},
            {
                "AUTH_PROVIDERS.1.options.restrict_to.labs",
                "AUTH_PROVIDERS.2.factory",
                "AUTH_PROVIDERS.2.options.a",
                "TRANSFER_ADAPTERS.custom",
                "TRANSFER_ADAPTERS.multipart-basic.options.storage_options",
                "TRANSFER_ADAPTERS.multipart-basic.options.storage_options.account_key_base64",
                "MIDDLEWARE.0.class",
                "MIDDLEWARE.2.class",
                "MIDDLEWARE.2.kwargs.x",
                "UNKNOWN",
            },
        )
        text = translation.as_yaml()
        for note in refused:
            self.assertTrue(note.words)
            self.assertIn(f"# not translated: {note.key}: ", text)

    def test_what_is_said_by_the_result(self) -> None:
        self.assertEqual(
            dict(translated(**self.FULL).config),
            {
                "storage": {
                    "type": "s3",
                    "bucket": "b",
                    "prefix": "p",
                    "endpoint_url": "http://x",
                    "mode": "proxy",
                },
                "auth": [
                    {
                        "type": "jwt",
                        "leeway": 3,
                        "key_id": "x",
                        "basic_user": "",
                        "algorithms": ["HS256"],
                        "key": SECRET,
                    },
                    {
                        "type": "github",
                        "api_url": "https://github.example/api/v3",
                        "timeout": 11,
                        "write_ttl": 900,
                        "read_ttl": 31,
                        "cache_size": 200,
                        "orgs": ["acme"],
                    },
                    {"type": "anonymous", "access": "read"},
                ],
                "actions": {"lifetime": 900, "multipart_lifetime": 900},
                "cors": {"origins": ["https://www.example.com"]},
            },
        )

    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    (
                        "basic",
                        "factory",
                        "options",
                        "storage_class",
                        "storage_options",
                        "private_key",
                        "class",
                        "kwargs",
                        "cache",
                        "restrict_to",
                        "x",
                    )
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=10,
    )

    @given(st.dictionaries(st.sampled_from(sorted(FULL)), values, max_size=4))
    def test_any_configuration_ends_with_all_keys_named(self, data: dict[str, Any]) -> None:
        translation = translate(yaml.safe_dump(data))
        self.assert_named(data, translation)
        yaml.safe_load(translation.as_yaml())

    def test_what_is_no_configuration_is_refused(self) -> None:
        for text in ("[1]", "x: [", "hello"):
            with self.assertRaises(NoSource):
                translate(text)

    def test_no_secret_is_quoted(self) -> None:
        for secret in ("short", SECRET, f"{SECRET}\n", 123456789, ["hidden-value"]):
            translation = translated(provider(private_key=secret))
            words = " ".join(f"{note.words} {note.key}" for note in translation.notes.items)
            self.assertNotIn(str(secret).strip("[]'"), words)
            self.assertNotIn(str(secret), repr(translation))


class SafetyTests(SynchronousTestCase):
    """What cannot be translated must open nothing."""

    def assert_unusable(self, translation: Translation) -> None:
        self.assertFalse(translation.notes.is_complete)
        self.assertEqual(translation.config["auth"], [])

    def test_without_a_provider_that_stays_nobody_gets_in(self) -> None:
        self.assert_unusable(translated("acme.auth:factory"))
        self.assert_unusable(translated(AUTH_PROVIDERS="giftless.auth.allow_anon:read_write"))
        self.assert_unusable(translated(provider(algorithm="none", private_key=SECRET)))
        self.assert_unusable(translated(provider(algorithm="HS256")))

    def test_a_restriction_to_some_repositories_is_not_dropped(self) -> None:
        github = {
            "factory": "giftless.auth.github:factory",
            "options": {"restrict_to": {"labs": ["probe"]}},
        }
        self.assert_unusable(translated(github))

    def test_a_storage_that_cannot_be_translated_is_no_other_storage(self) -> None:
        for adapters in ([1], {"basic": {"options": {"storage_class": "acme:Storage"}}}):
            translation = translated(TRANSFER_ADAPTERS=adapters)
            self.assertFalse(translation.notes.is_complete)
            self.assertEqual(translation.config["storage"], {"type": "not-translated"})

    def test_another_storage_for_parts_is_told(self) -> None:
        adapters = {
            "basic": adapter("azure", connection_string="c", container_name="one"),
            "multipart-basic": adapter(
                "azure", "multipart", connection_string="c", container_name="two"
            ),
        }
        self.assertFalse(translated(TRANSFER_ADAPTERS=adapters).notes.is_complete)

    def test_the_size_of_parts_stays(self) -> None:
        adapters = {
            name: adapter("azure", factory, connection_string="c", container_name="one")
            for name, factory in (("basic", "basic_external"), ("multipart-basic", "multipart"))
        }
        adapters["multipart-basic"]["options"]["max_part_size"] = 10_000_000
        translation = translated(TRANSFER_ADAPTERS=adapters)
        self.assertTrue(translation.notes.is_complete)
        self.assertEqual(translation.config["storage"]["part_size"], 10_000_000)


class SecretTests(SynchronousTestCase):
    """Whatever the Flask giftless has signed with a secret is good here."""

    secrets = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=150)

    @given(secrets.map(str.encode), st.sampled_from(["HS256", "HS384", "HS512"]))
    def test_a_secret_that_is_carried_over_signs_the_same(
        self, secret: bytes, algorithm: str
    ) -> None:
        good = carried(secret, algorithm)
        if good is not None:
            hashed = f"sha{algorithm[2:]}"
            self.assertEqual(
                hmac.digest(good, b"message", hashed), hmac.digest(secret, b"message", hashed)
            )
            # What a file or a key of the configuration makes of it.
            self.assertEqual(good.strip() if good.isascii() else good, good)

    def test_short_secrets_and_ends_of_lines_are_carried_over(self) -> None:
        for secret in (b"s3cret", b"s3cret\n", SECRET[:40].encode() + b"\n", SECRET.encode()):
            good = carried(secret, "HS256")
            assert good is not None
            token = jwt.encode({"sub": "tess"}, secret, "HS256")
            # That it is short.
            self.flushWarnings()
            self.assertIsNotNone(verify(token, good, "HS256"))

    def test_what_cannot_be_carried_over_is_refused(self) -> None:
        public = public_pem(private_key("RS256")).encode()
        for secret in (b"", b" s3cret", b"x" * 70 + b"\n", public):
            self.assertIsNone(carried(secret, "HS256"))

    def test_a_file_with_an_end_of_line_becomes_a_key(self) -> None:
        path = Path(self.mktemp()).resolve()
        path.write_bytes(b"s3cret,don'ttellany0ne\r\n")
        (section,) = translated(provider(private_key_file=str(path))).config["auth"]
        self.assertEqual(section["key"], "s3cret,don'ttellany0ne\n".ljust(32, "\0"))
        loaded = config.parse("", translated(provider(private_key=section["key"])).as_yaml(), {})
        self.assertEqual(loaded.config.auth[0]["key"], section["key"])

    def test_a_file_with_a_good_secret_stays(self) -> None:
        path = Path(self.mktemp()).resolve()
        path.write_text(SECRET)
        translation = translated(provider(private_key_file=str(path)))
        self.assertEqual(translation.config["auth"][0]["key_file"], str(path))
        self.assertNotIn(SECRET, translation.as_yaml())

    def test_a_file_that_cannot_be_read_is_told(self) -> None:
        for options in (
            {"private_key_file": "/nowhere/key"},
            {"algorithm": "RS256", "public_key_file": "/nowhere/key"},
        ):
            translation = translated(provider(**options))
            self.assertEqual(translation.config["auth"][0]["key_file"], "/nowhere/key")
            (note,) = (note for note in translation.notes.items if "not checked" in note.words)
            self.assertEqual(note.result, "changed")

    def test_public_keys_are_checked(self) -> None:
        good = public_pem(private_key("RS256"))
        translation = translated(provider(algorithm="RS256", public_key=good))
        self.assertTrue(translation.notes.is_complete)
        for bad in ("hello", private_pem(private_key("RS256")), public_pem(private_key("ES256"))):
            translation = translated(provider(algorithm="RS256", public_key=bad))
            self.assertFalse(translation.notes.is_complete)

    def test_the_private_key_of_a_pair_is_for_the_command(self) -> None:
        path = Path(self.mktemp()).resolve()
        good = public_pem(private_key("RS256"))
        translation = translated(
            provider(algorithm="RS256", public_key=good, private_key_file=str(path))
        )
        self.assertEqual(translation.config["auth"][0]["private_key_file"], str(path))
        translation = translated(provider(algorithm="RS256", public_key=good, private_key="x"))
        key = "AUTH_PROVIDERS.0.options.private_key"
        self.assertEqual(results(translation)[key], "not-translatable")


def _at(data: Any, path: str) -> Any:
    """Return the value at a path."""
    for step in path.split("."):
        data = data[int(step)] if isinstance(data, list) else data[step]
    return data
