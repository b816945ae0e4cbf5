"""Every combination of answers is a configuration that the daemon takes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from giftless.auth.realms import check_realms
from giftless.interfaces import IAuthenticatorFactory, IStorageFactory
from giftless.runtime.sockets.endpoints import check_endpoints, places
from giftless.setup.answers import Answers
from giftless.setup.kinds import IDENTITIES, STORAGES
from giftless.setup.sections import changes
from giftless.setup.validity import check_text
from tests.setup.support import HASHED, Desk
from tests.support.certificates import make_certificate
from tests.support.making import part_builder
from tests.support.rounds import rounds

Given = Mapping[str, str]

#: A connection that is told to nobody: any name but one of giftless's own.
_ENVIRON = {"THE_SECRET": "a secret: 'yes' # {no}"}

STORES: Sequence[Given] = (
    {"storage": "local"},
    {"storage": "local", "local-path": "{folder}/o'b\"j: e#cts"},
    {"storage": "s3", "s3-bucket": "no"},
    {
        "storage": "s3",
        "s3-bucket": "lfs",
        "s3-region": "0x10",
        "s3-endpoint": "http://127.0.0.1:9000",
        "s3-key-id": "12e3",
        "s3-secret-from": "env:THE_SECRET",
    },
    {"storage": "gcs", "gcs-bucket": "null"},
    {"storage": "azure", "azure-container": "lfs", "azure-account": "acme"},
)

PEOPLE: Mapping[str, Given] = {
    "basic": {"first-user": "null", "password-from": "generate"},
    "jwt": {},
    "oidc": {
        "oidc-issuer": "https://sso.example.com/realms/acme/",
        "oidc-audience": "lfs,yes",
        "oidc-grants": "on=acme/*:write,*=**:read",
    },
    "ldap": {
        "ldap-urls": "ldap://127.0.0.1,ldapi://%2Frun%2Fldap",
        "ldap-user-base": "dc=acme, dc=example",
        "ldap-bind-dn": "cn=reader",
        "ldap-password-from": "env:THE_SECRET",
        "ldap-group-base": "ou=groups",
    },
    "github": {"github-orgs": "acme,12"},
    "gitea": {"gitea-url": "https://git.example.com", "gitea-orgs": "*"},
    "gitlab": {"gitlab-url": "https://gitlab.example.com", "gitlab-orgs": "acme/team"},
}

URLS = ("https://lfs.example.com", "http://lfs.example.com:81", "https://[2001:db8::1]/l.f-s")

_FILES = {"certificate": "{folder}/c:=e.pem", "certificate-key": "{folder}/c:=e.pem"}

EDGES: Sequence[Given] = (
    {"tls": "none"},
    {"tls": "none", "listen": "[::1]:80", "public-url": URLS[1]},
    {"tls": "files", **_FILES},
    {"tls": "files", "listen": "0.0.0.0:443", "public-url": URLS[2], **_FILES}
    | {"certificate-chain": "{folder}/c:=e.pem"},
    {"tls": "proxy", "proxy": "other"},
    {"tls": "proxy", "proxy": "other", "proxy-address": "10.0.0.0/8", "public-url": URLS[0]},
    *(
        {"tls": "proxy", "proxy": proxy, "public-url": url}
        for proxy in ("nginx", "apache", "caddy")
        for url in URLS
    ),
)

WORKERS: Sequence[Given] = ({}, {"workers": "auto"})


def identities(most: int) -> Iterator[dict[str, str]]:
    """Yield every way to know people that lets somebody in.

    :param most: for how many kinds at once everything that anybody may do is walked through.
    """
    for size in range(len(PEOPLE) + 1):
        for kinds in itertools.combinations(PEOPLE, size):
            for anonymous in ("none", "read", "read-write")[: 3 if size <= most else 1]:
                if kinds or anonymous != "none":
                    given = {"identities": ",".join(kinds) or "none", "anonymous": anonymous}
                    for kind in kinds:
                        given |= PEOPLE[kind]
                    yield given


class ProductTests(SynchronousTestCase):
    """Built as ``--check`` does it; each section once, whatever is around it."""

    def setUp(self) -> None:
        """Make the files that answers name."""
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        for name, content in (
            ("htpasswd", f"null:{HASHED}\n"),
            ("access.yaml", "'null': {'**': admin}\n"),
            ("ldap-password", "secret\n"),
            ("jwt.key", "k" * 40),
            ("c:=e.pem", make_certificate().decode()),
        ):
            (self.folder / name).write_text(content)
        self.built: dict[str, dict[str, object]] = {}
        self.parts = part_builder(str(self.folder / "state"))
        self.seen = 0

    def build(self, interface: Any, section: Mapping[str, Any], key: str) -> None:
        """Build a part, unless one of the same section was built."""
        known = repr(section)
        if known not in self.built:
            self.parts.built.clear()
            self.parts.build(interface, section, key)
            self.built[known] = dict(self.parts.built)

    def given(self, *givens: Given) -> dict[str, str]:
        """Put options together."""
        given = {name: value for each in givens for name, value in each.items()}
        # By default there is a proxy in front, which needs a URL.
        given = given if "tls" in given else {"tls": "none", **given}
        return {name: value.replace("{folder}", str(self.folder)) for name, value in given.items()}

    def check(self, *givens: Given) -> None:
        """Fail unless answers become a configuration that is accepted, and that stays."""
        given = self.given(*givens)
        desk = Desk(str(self.folder), str(self.folder))
        desk.write(desk.plan(given, environ=_ENVIRON))
        loaded = check_text("the configuration", desk.text)
        self.build(IStorageFactory, loaded.storage, "storage")
        authenticators: dict[str, object] = {}
        for index, section in enumerate(loaded.auth):
            self.build(IAuthenticatorFactory, section, "auth.0")
            (part,) = self.built[repr(section)].values()
            authenticators[f"auth.{index}"] = part
        check_realms(authenticators)
        check_endpoints(reactor, places(loaded))
        if self.seen % rounds(4, 1) == 0:
            again = desk.plan({}, exists=[str(self.folder / "htpasswd")])
            self.assertEqual([*again.files], [], given)
        self.seen += 1

    def test_every_way_to_know_people_is_accepted(self) -> None:
        for people in identities(rounds(1, len(PEOPLE))):
            self.check(people, STORES[0], EDGES[0])
        self.assertGreaterEqual(self.seen, 2 ** len(PEOPLE))

    def test_every_store_behind_every_edge_is_accepted(self) -> None:
        people = {"identities": "none", "anonymous": "read"}
        for store, edge, workers in itertools.product(STORES, EDGES, rounds(WORKERS[1:], WORKERS)):
            self.check(people, store, edge, workers)

    def test_the_whole_product_is_made_of_what_is_accepted(self) -> None:
        """Sections depend on no others: each one of every combination was accepted alone."""
        nobody = {"identities": "none", "anonymous": "read"}
        most = rounds(0, len(PEOPLE))
        people = [self.answered(given) for given in identities(most)]
        stores = [self.answered(nobody, given) for given in STORES]
        edges = [self.answered(nobody, given) for given in EDGES]
        workers = [self.answered(nobody, given) for given in rounds(WORKERS[1:], WORKERS)]
        accepted = {
            (key, repr(value))
            for answers in (*people, *stores, *edges, *workers)
            for key, value in changes(answers, None, {}).items()
        }
        for given in (*STORES, *EDGES, *WORKERS):
            self.check(nobody, given)
        for who, where, how, many in itertools.product(people, stores, edges, workers):
            answers = replace(who, storage=where.storage, edge=how.edge, workers=many.workers)
            wanted = {(key, repr(value)) for key, value in changes(answers, None, {}).items()}
            self.assertLessEqual(wanted, accepted)

    def answered(self, *givens: Given) -> Answers:
        """Return the answers that options are."""
        given = self.given(*givens)
        return Desk(str(self.folder), str(self.folder)).ask(given, environ=_ENVIRON)[0]

    def test_every_kind_is_walked_through(self) -> None:
        self.assertEqual({each["storage"] for each in STORES}, {*STORAGES})
        self.assertEqual({*PEOPLE}, {*IDENTITIES})

    def test_what_is_written_is_as_short_as_can_be(self) -> None:
        desk = Desk()
        desk.run(public_url=URLS[0])
        self.assertLessEqual(len(desk.text.splitlines()), 45)
        self.assertEqual(
            [*yaml.safe_load(desk.text)],
            [
                *("endpoints", "public_url", "trusted_proxies", "storage", "auth", "state_dir"),
                "workers",
            ],
        )
