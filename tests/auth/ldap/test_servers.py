"""Servers that are protected, down, restarted, hang, or refuse the account that searches."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from giftless.auth.ldap.authenticator import LDAPAuthenticator
from giftless.errors import ConfigError, IdentityUnavailable, Unauthorized
from giftless.interfaces import Credentials, Identity, Password
from tests.auth.ldap.support import Inline, build, serve
from tests.support.certificates import write_certificate
from tests.support.logs import observe
from tests.support.making import environment, repo_of
from tests.support.ports import free_port
from tests.support.reactor import reactor
from tests.support.run import CoroutineTestCase
from tests.support.slapd import Slapd
from tests.support.threads import running_threads

#: How long the servers of these tests may take, in seconds.
QUICK = {"connect_timeout": 1, "timeout": 2}

#: By when what hangs must have been given up, on a machine that is busy with other tests.
AT_LAST = 20


def login(authenticator: LDAPAuthenticator, user: str, password: str = "") -> Any:
    """Log in somebody by name and password."""
    credentials = Credentials((Password(user, password or f"{user}'s secret"),))
    return authenticator.authenticate(credentials, repo_of())


class ServerCase(CoroutineTestCase):
    """Tests with a server of their own."""

    def setUp(self) -> None:
        self.inline = Inline()
        self.logged: list[str] = []
        observe(self, lambda event: self.logged.append(repr(event)))

    def serve(self, **options: Any) -> Slapd:
        """Start a server with two users."""
        server = serve(self, **options)
        server.add_user("alice", "alice's secret")
        server.add_user("bob", "bob's secret")
        return server

    def build(self, server: Slapd, **others: Any) -> LDAPAuthenticator:
        authenticator = self.inline.build(server.options(**{**QUICK, **others}))
        self.addCleanup(lambda: self.run_now(self.inline.environment.services.stopService()))
        return authenticator

    def assert_in(self, authenticator: LDAPAuthenticator, user: str) -> None:
        """Check that somebody is let in."""
        identity: Identity | None = self.run_now(login(authenticator, user))
        assert identity is not None
        self.assertEqual(identity.name, user)

    def assert_unavailable(self, authenticator: LDAPAuthenticator, user: str) -> None:
        """Check that nobody can tell whether a password is right: 503, so git keeps it."""
        error = self.assert_fails(IdentityUnavailable, login(authenticator, user))
        self.assertGreater(error.retry_after, 0)

    def assert_nothing_leaks(self) -> None:
        """Check that no password is in the log."""
        self.assertNotIn("secret", "".join(self.logged))


class ProtectionTests(ServerCase):
    """TLS (``ldaps``) and StartTLS, and certificates that are not trusted."""

    def setUp(self) -> None:
        super().setUp()
        directory = Path(self.mktemp()).absolute()
        directory.mkdir(parents=True)
        key, self.certificate = write_certificate(directory)
        self.server = self.serve(certificate=(self.certificate, key))

    def test_passwords_travel_in_tls(self) -> None:
        ca = str(self.certificate)
        for options in (
            {"urls": [self.server.tls_url], "ca_file": ca},
            {"urls": [self.server.url], "encryption": "start_tls", "ca_file": ca},
        ):
            known = set(self.connections())
            self.assert_in(self.build(self.server, **options), "alice")
            new = [told for number, told in self.connections().items() if number not in known]
            self.assertTrue(any("TLS established" in told for told in new))
            for told in new:
                if "BIND" in told:
                    self.assertIn("TLS established", told.partition("BIND")[0])

    def connections(self) -> dict[str, str]:
        """Return what the server has logged of its connections over TCP, by their numbers."""
        told: dict[str, str] = {}
        for line in self.server.log().splitlines():
            if (number := re.search(r"conn=(\d+) ", line)) is not None:
                told[number[1]] = told.get(number[1], "") + line
        return {number: lines for number, lines in told.items() if "IP=" in lines}

    def test_nobody_is_shown_a_password_without_the_right_certificate(self) -> None:
        _, other = write_certificate(Path(self.mktemp()).parent)
        by_name = self.server.tls_url.replace("127.0.0.1", "localhost")
        for urls, encryption, ca in (
            ([self.server.tls_url], "auto", other),
            ([by_name], "auto", self.certificate),
            ([self.server.url], "start_tls", other),
        ):
            before = len(self.server.log())
            ldap = self.build(self.server, urls=urls, encryption=encryption, ca_file=str(ca))
            self.assert_unavailable(ldap, "alice")
            self.assertNotIn(" BIND ", self.server.log()[before:])
        self.assert_nothing_leaks()

    def test_a_server_without_tls_is_shown_no_password(self) -> None:
        plain = self.serve()
        before = len(plain.log())
        self.assert_unavailable(self.build(plain, encryption="start_tls"), "alice")
        self.assertNotIn(" BIND ", plain.log()[before:])

    def test_nothing_is_believed_that_was_said_before_tls(self) -> None:
        """Whoever is in between could say it; here it comes right behind the answer."""
        agreed = bytes.fromhex("300c02010178070a010004000400")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            shown: list[bytes] = []

            def answer(more: bytes) -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(agreed + more)
                    shown.append(connection.recv(1000))

            server = Slapd(Path(), port=listener.getsockname()[1])
            # The beginning of TLS, unless something is wrong.
            for more, expected in ((b"", b"\x16\x03"), (agreed, b""), (b"\x30", b"")):
                thread = threading.Thread(target=answer, args=(more,))
                thread.start()
                ldap = self.build(server, encryption="start_tls")
                self.assert_unavailable(ldap, "alice")
                thread.join()
                self.assertEqual(shown.pop()[:2], expected)

    def test_settings_of_the_machine_do_not_weaken_tls(self) -> None:
        settings = Path(self.mktemp()).absolute()
        settings.write_text("TLS_REQCERT never\n")
        _, other = write_certificate(Path(self.mktemp()).parent)
        self.patch_environment("LDAPCONF", str(settings))
        self.patch_environment("LDAPTLS_REQCERT", "never")
        ldap = self.build(self.server, urls=[self.server.tls_url], ca_file=str(other))
        self.assert_unavailable(ldap, "alice")

    def patch_environment(self, name: str, value: str) -> None:
        """Set a variable until the test ends."""
        before = os.environ.get(name)
        os.environ[name] = value
        if before is None:
            self.addCleanup(os.environ.pop, name)
        else:
            self.addCleanup(os.environ.__setitem__, name, before)


class OutageTests(ServerCase):
    """Servers that go down and come back."""

    def test_a_server_that_is_killed_and_started_again(self) -> None:
        server = self.serve()
        ldap = self.build(server)
        self.assert_in(ldap, "alice")
        server.stop()
        self.assert_in(ldap, "alice")  # is remembered
        self.assert_unavailable(ldap, "bob")
        server.start()
        self.assert_unavailable(ldap, "bob")  # is left alone for a moment
        self.inline.clock.advance(11)
        self.assert_in(ldap, "bob")
        self.assert_nothing_leaks()

    def test_a_restart_between_two_log_ins_is_not_noticed(self) -> None:
        server = self.serve()
        ldap = self.build(server)
        self.assert_in(ldap, "alice")
        server.stop()
        server.start()
        self.assert_in(ldap, "bob")

    def test_another_server_is_asked_while_one_is_down(self) -> None:
        first, second = self.serve(), self.serve()
        ldap = self.build(first, urls=[first.url, second.url])
        self.assert_in(ldap, "alice")
        self.assertNotIn("uid=alice", second.log().split("ADD")[-1])
        first.stop()
        self.assert_in(ldap, "bob")
        first.start()
        self.inline.clock.advance(301)
        before = len(first.log())
        self.assert_in(ldap, "alice")
        self.assertIn("BIND", first.log()[before:])

    def test_a_unix_socket_or_a_name_will_do(self) -> None:
        server = self.serve()
        for url in (server.unix_url, server.url.replace("127.0.0.1", "localhost")):
            self.assert_in(self.build(server, urls=[url]), "alice")

    def test_the_account_that_searches_is_not_locked_by_a_wrong_password(self) -> None:
        server = self.serve()
        ldap = self.build(server, password="not the secret")
        for user in ("alice", "bob", "carol"):
            self.assert_unavailable(ldap, user)
        self.assertEqual(server.log().count(f'BIND dn="{Slapd.READER}"'), 1)
        self.assert_nothing_leaks()

    def test_a_new_password_of_that_account_counts_without_a_restart(self) -> None:
        server = self.serve()
        file = Path(self.mktemp())
        file.write_text(f"{Slapd.READER_PASSWORD}\n")
        ldap = self.build(server, password="", password_file=str(file))
        self.assert_in(ldap, "alice")
        server.change(
            f"dn: {Slapd.READER}\nchangetype: modify\nreplace: userPassword\n"
            "userPassword: the new secret\n",
            add=False,
        )
        file.write_text("the new secret\n")
        self.inline.clock.advance(100)  # so that a new connection is made
        self.assert_in(ldap, "bob")

    def test_no_referral_is_followed(self) -> None:
        """Whoever listens where it leads would be shown the password of the account."""
        server = self.serve()
        with socket.create_server(("127.0.0.1", free_port())) as listener:
            port = listener.getsockname()[1]
            server.change(
                f"dn: cn=elsewhere,{Slapd.PEOPLE}\nobjectClass: referral\n"
                f"objectClass: extensibleObject\ncn: elsewhere\nref: ldap://127.0.0.1:{port}/dc=x\n"
            )
            ldap = self.build(server)
            self.assert_in(ldap, "alice")
            self.assertIsNone(self.run_now(login(ldap, "nobody")))
            listener.setblocking(False)
            self.assertRaises(BlockingIOError, listener.accept)

    def test_more_groups_than_the_server_gives_let_nobody_in_with_fewer(self) -> None:
        server = self.serve(limit="sizelimit 3")
        members = (f"uid=alice,{Slapd.PEOPLE}",)
        for number in range(5):
            server.add_group(f"g{number}", *members)
        ldap = self.build(server, group_filter="(member={dn})")
        self.assert_unavailable(ldap, "alice")
        self.assert_in(ldap, "bob")  # others are not held up


class CheckTests(ServerCase):
    """``--check`` asks every server."""

    def problem(self, authenticator: LDAPAuthenticator) -> ConfigError:
        error: ConfigError = self.assert_fails(ConfigError, authenticator.check())
        self.assert_nothing_leaks()
        self.assertNotIn("secret", str(error))
        return error

    def test_servers_that_work_are_in_order(self) -> None:
        server = self.serve()
        self.run_now(self.build(server, urls=[server.url, server.unix_url]).check())

    def test_a_server_that_does_not_answer_is_named(self) -> None:
        server = self.serve()
        urls = [server.url, f"ldap://127.0.0.1:{free_port()}"]
        problem = self.problem(self.build(server, urls=urls))
        self.assertEqual(problem.path, "urls.1")
        self.assertIn("Connection refused", str(problem))

    def test_it_is_told_what_is_wrong_with_a_certificate(self) -> None:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir(parents=True)
        key, certificate = write_certificate(directory)
        server = self.serve(certificate=(certificate, key))
        by_name = server.tls_url.replace("127.0.0.1", "localhost")
        problem = self.problem(self.build(server, urls=[by_name], ca_file=str(certificate)))
        self.assertIn("certificate is not valid for", str(problem))

    def test_a_wrong_account_and_wrong_places_are_told(self) -> None:
        server = self.serve()
        for options, words in (
            ({"password": "not the secret"}, "bind_dn"),
            ({"user_base": "ou=nowhere,dc=example,dc=com"}, "No such object"),
            ({"group_base": "ou=nowhere,dc=example,dc=com"}, "No such object"),
        ):
            self.assertIn(words, str(self.problem(self.build(server, **options))))


class HangTests(TestCase):
    """Servers that take connections and say nothing; many log-ins at once.  In threads."""

    def setUp(self) -> None:
        self.threads = running_threads(self, 8)

    def serve(self) -> Slapd:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir(parents=True)
        key, certificate = write_certificate(directory)
        self.ca = str(certificate)
        return serve(self, certificate=(certificate, key))

    def build(self, server: Slapd, **others: Any) -> LDAPAuthenticator:
        lent = environment(reactor=reactor, blocking=self.threads)
        self.addCleanup(lent.services.stopService)
        return build(server.options(**{**QUICK, **others}), lent)

    def login(self, *asked: Any) -> Deferred[Identity | None]:
        return Deferred.fromCoroutine(login(*asked))

    async def test_a_hundred_people_log_in_at_once(self) -> None:
        server = self.serve()
        people = [f"user{number}" for number in range(100)]
        entries = [
            f"dn: uid={uid},{Slapd.PEOPLE}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\n"
            f"sn: x\nuserPassword: {uid}'s secret\n"
            for uid in people
        ]
        server.change("\n".join(entries))
        ldap = self.build(server, timeout=20)
        before = server.log().count("ACCEPT")
        found = await gatherResults([self.login(ldap, uid) for uid in people])
        self.assertEqual([identity.name for identity in found if identity], people)
        self.assertLessEqual(server.log().count("ACCEPT") - before, 2 * 4)
        wrong = [self.login(ldap, uid, "wrong") for uid in people]
        for each in wrong:
            await self.assertFailure(each, Unauthorized)

    async def test_a_server_that_hangs_is_given_up(self) -> None:
        server = self.serve()
        for uid in ("alice", "bob", "carol", "dora", "edna", "frank"):
            server.add_user(uid, f"{uid}'s secret")
        for options in (
            {},
            {"urls": [server.tls_url], "ca_file": self.ca},
            {"encryption": "start_tls", "ca_file": self.ca},
            {"bind_template": f"uid={{user}},{Slapd.PEOPLE}", "bind_dn": "", "password": ""}
            | {"user_base": ""},
        ):
            ldap = self.build(server, **options)
            self.assertIsNotNone(await self.login(ldap, "alice"), options)
            server.signal(signal.SIGSTOP)
            start = time.monotonic()
            users = ("bob", "carol", "dora", "edna", "frank")
            waiting = [self.login(ldap, uid) for uid in users]
            self.assertFalse(any(each.called for each in waiting), "the reactor was held up")
            for each in waiting:
                await self.assertFailure(each, IdentityUnavailable)
            # The connection that was kept, and then those that were made anew.
            self.assertLess(time.monotonic() - start, AT_LAST, options)
            # While it is left alone, nobody waits.
            await self.assertFailure(self.login(ldap, "bob"), IdentityUnavailable)
            server.signal(signal.SIGCONT)

    async def test_half_an_answer_is_not_waited_for(self) -> None:
        """What a connection has that was cut while an answer came."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def answer() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"\x30\x84\x00\x00\x10\x00\x02\x01\x01")
                    connection.recv(1000)  # until the other end has had enough

            answered = self.threads.run(answer)
            url = f"ldap://127.0.0.1:{listener.getsockname()[1]}"
            ldap = self.build(Slapd(Path()), urls=[url])
            await self.assertFailure(self.login(ldap, "alice"), IdentityUnavailable)
            await answered

    async def test_another_server_is_asked_while_one_hangs(self) -> None:
        first, second = self.serve(), self.serve()
        for server in (first, second):
            server.add_user("alice", "alice's secret")
        ldap = self.build(first, urls=[first.url, second.url])
        first.signal(signal.SIGSTOP)
        identity = await self.login(ldap, "alice")
        assert identity is not None
        self.assertEqual(identity.name, "alice")
