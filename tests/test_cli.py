"""The ``giftless`` command, and the tokens that it makes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import yaml
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

import giftless
from giftless.auth.tokens.jwt import JWTFactory, JWTOptions
from giftless.cli import COMMANDS, QUICK_COMMANDS, main
from giftless.commands.ls import LsCommand
from giftless.interfaces import Bearer, Credentials, Identity
from giftless.lfs.objects import Permission
from tests.support.making import environment, oid_of, repo_of
from tests.support.tokens import (
    ASYMMETRIC,
    SYMMETRIC,
    private_key,
    private_pem,
    public_pem,
    verification_key,
)

ALL_COMMANDS = (*COMMANDS, *QUICK_COMMANDS)

SCOPE = "obj:org/repo/*:read"


class CommandTestCase(SynchronousTestCase):
    """Runs the command in this process, in a directory of its own."""

    def setUp(self) -> None:
        """Make the directory, and an environment that says nothing."""
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.environ: dict[str, str] = {}
        self.patch(os, "environ", self.environ)

    def write(self, name: str, content: str | bytes) -> str:
        """Write a file and return its path."""
        path = self.directory / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def configure(self, *auth: dict[str, Any]) -> str:
        """Write a configuration with these authenticators and return its path."""
        return self.write("giftless.yaml", yaml.safe_dump({"auth": list(auth)}))

    def run_command(self, *arguments: str) -> str:
        """Run the command, which must succeed.

        :returns: what it printed.
        """
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        main(arguments)
        return output.getvalue()

    def assert_fails(self, reason: str, *arguments: str) -> None:
        """Check that the command fails with one line on stderr, and prints nothing else."""
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        with self.assertRaises(SystemExit) as caught:
            main(arguments)
        # The interpreter writes a text to stderr and exits with status 1.
        message = caught.exception.code
        assert isinstance(message, str)
        self.assertRegex(message, reason)
        self.assertTrue(message.startswith("giftless: "))
        self.assertNotIn("\n", message)
        self.assertEqual(output.getvalue(), "")


class TokenTests(CommandTestCase):
    """``giftless token``."""

    def identify(self, options: dict[str, Any], token: str, later: float = 0) -> Identity | None:
        """Ask an authenticator with these options about a token."""
        clock = Clock()
        clock.advance(time.time() + later)
        authenticator = JWTFactory().build(JWTOptions(**options), environment(reactor=clock))
        credentials = Credentials((Bearer(token),))
        return self.successResultOf(
            Deferred.fromCoroutine(authenticator.authenticate(credentials, repo_of()))
        )

    def make(self, section: dict[str, Any], *arguments: str) -> str:
        """Make a token with the key of the only authenticator."""
        output = self.run_command("token", "--config", self.configure(section), *arguments)
        token = output.removesuffix("\n")
        self.assertRegex(token, r"\A[\w-]+\.[\w-]+\.[\w-]+\Z")
        return token

    def claims(self, token: str) -> dict[str, Any]:
        """Return what a token says."""
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        return claims

    def test_a_token_fits_its_algorithm_only(self) -> None:
        """A token is accepted by the authenticator whose key made it, and by no other."""
        for algorithm in (*SYMMETRIC, *ASYMMETRIC):
            options = {"algorithms": [algorithm], "key": verification_key(algorithm)}
            if algorithm in ASYMMETRIC:
                options["private_key_file"] = self.write(
                    "private", private_pem(private_key(algorithm))
                )
            identity = self.identify(
                options, self.make({"type": "jwt", **options}, "--scope", SCOPE)
            )
            assert identity is not None
            self.assertEqual(identity.name, "token")
            self.assertTrue(identity.grants.allows(Permission.READ, oid_of(b"x")))
            self.assertFalse(identity.grants.allows(Permission.WRITE, oid_of(b"x")))

    def test_a_token_fulfils_what_is_demanded(self) -> None:
        """The token fulfils what the authenticator demands."""
        options = {
            "key": private_key("HS512"),
            "algorithms": ["HS512", "HS256"],
            "issuer": "me",
            "audience": "lfs",
            "key_id": "k/1",
        }
        token = self.make(
            {"type": "jwt", **options}, "--scope", SCOPE, "--subject", "ci", "--lifetime", "60"
        )
        identity = self.identify(options, token)
        assert identity is not None
        self.assertEqual(identity.name, "ci")
        self.assertEqual(jwt.get_unverified_header(token)["alg"], "HS512")

    def test_a_token_lives_as_long_as_asked(self) -> None:
        """A token is good for an hour, or as long as is said."""
        section = {"type": "jwt", "key": private_key("HS256")}
        for arguments, lifetime in (((), 3600), (("--lifetime", "60"), 60), (("-l", "1"), 1)):
            claims = self.claims(self.make(section, "--scope", SCOPE, *arguments))
            self.assertEqual(claims["exp"] - claims["iat"], lifetime)
            self.assertLess(abs(claims["iat"] - time.time()), 30)

    def test_several_scopes_can_be_given(self) -> None:
        section = {"type": "jwt", "key": private_key("HS256")}
        claims = self.claims(self.make(section, "--scope", SCOPE, "--scope", "obj:org/b:write"))
        self.assertEqual(claims["scopes"], [SCOPE, "obj:org/b:write"])

    def test_a_secret_can_be_in_a_file(self) -> None:
        secret = self.write("secret", "k" * 64 + "\n")
        options = {"key_file": secret}
        token = self.make({"type": "jwt", **options}, "--scope", SCOPE)
        self.assertIsNotNone(self.identify(options, token))
        self.assertNotIn("k" * 64, token)

    def test_key_from_the_environment(self) -> None:
        """The key may be where the daemon's is too."""
        self.environ["GIFTLESS_AUTH__0__KEY"] = private_key("HS256")
        self.environ["GIFTLESS_CONFIG"] = self.configure({"type": "jwt"})
        token = self.run_command("token", "--scope", SCOPE).strip()
        self.assertIsNotNone(self.identify({"key": private_key("HS256")}, token))

    def test_a_private_key_serves_a_key_set(self) -> None:
        """With an issuer's key set, the private key says all that is needed."""
        private = self.write("private", private_pem(private_key("ES256")))
        section = {
            "type": "jwt",
            "algorithms": ["ES256"],
            "jwks_url": "http://127.0.0.1:9/",
            "private_key_file": private,
        }
        token = self.make(section, "--scope", SCOPE)
        options = {"algorithms": ["ES256"], "key": verification_key("ES256")}
        self.assertIsNotNone(self.identify(options, token))

    def test_only_one_of_type_jwt(self) -> None:
        config = self.configure(
            {"type": "anonymous"}, {"type": "jwt", "key": private_key("HS256"), "key_id": "a"}
        )
        self.assertTrue(self.run_command("token", "-c", config, "--scope", SCOPE))
        self.assertTrue(self.run_command("token", "-c", config, "--scope", SCOPE, "--index", "1"))

    def test_several_of_type_jwt(self) -> None:
        """With several authenticators, one of them must be chosen."""
        config = self.configure(
            {"type": "jwt", "key": private_key("HS256", "a"), "key_id": "a"},
            {"type": "anonymous"},
            {
                "type": "below",
                "path": "b.example",
                "auth": [
                    {"type": "anonymous"},
                    {"type": "jwt", "key": private_key("HS256", "b"), "key_id": "b"},
                ],
            },
        )
        command = ("token", "--config", config, "--scope", SCOPE)
        self.assert_fails("several.*--index is one of 0, 2.1", *command)
        for index in ("1", "2", "2.0", "3", "-1", "x"):
            self.assert_fails("not of type jwt.*0, 2.1", *command, "--index", index)
        for index, kid in (("0", "a"), ("2.1", "b")):
            token = self.run_command(*command, "--index", index).strip()
            self.assertEqual(jwt.get_unverified_header(token)["kid"], kid)
            jwt.decode(token, private_key("HS256", kid), ["HS256"])

    def test_bad_command_lines(self) -> None:
        config = self.configure({"type": "jwt", "key": private_key("HS256")})
        command = ("token", "--config", config)
        self.assert_fails("--scope", *command)
        self.assert_fails("grant nothing", *command, "--scope", "org/repo")
        self.assert_fails("grant nothing", *command, "--scope", "obj:org/repo:raed")
        self.assert_fails("grant nothing", *command, "--scope", "")
        for lifetime in ("0", "-1", "1h", "1.5", ""):
            self.assert_fails("lifetime|int", *command, "--scope", SCOPE, "--lifetime", lifetime)
        self.assert_fails("arguments", *command, "--scope", SCOPE, "more")
        self.assert_fails("scope", *command, "--scope")
        self.assert_fails("nonsense", *command, "--nonsense")

    def test_a_mistake_is_located_by_file_and_key(self) -> None:
        """What is wrong is told by file and key."""
        command = ("token", "--scope", SCOPE, "--config")
        self.assert_fails("nowhere.yaml: cannot be read", *command, "nowhere.yaml")
        self.assert_fails("no authenticator of type jwt", *command, self.configure({"type": "x"}))
        self.assert_fails("no authenticator of type jwt", "token", "--scope", SCOPE)
        self.assert_fails(
            r"giftless\.yaml: auth\.0\.key: .*exactly one",
            *command,
            self.configure({"type": "jwt"}),
        )
        self.assert_fails(
            r"auth\.1\.kee: unknown key; did you mean 'key'",
            *command,
            self.configure({"type": "anonymous"}, {"type": "jwt", "kee": "x"}),
        )
        self.environ["GIFTLESS_AUTH__0__KEY"] = "short"
        self.assert_fails(
            "environment GIFTLESS_AUTH__0__KEY.*5 bytes", *command, self.configure({"type": "jwt"})
        )

    def test_bad_private_keys(self) -> None:
        """Only the private key of the public key that is configured will do."""
        options = {"type": "jwt", "algorithms": ["ES256"], "key": verification_key("ES256")}
        command = ("token", "--scope", SCOPE, "--config")
        self.assert_fails("private_key_file: is missing", *command, self.configure(options))
        for reason, content in (
            ("not the private key", private_pem(private_key("ES256", "theirs"))),
            ("another kind", private_pem(private_key("ES384"))),
            ("another kind", private_pem(private_key("RS256"))),
            ("private key in PEM", public_pem(private_key("ES256"))),
            ("private key in PEM", "s" * 64),
        ):
            section = {**options, "private_key_file": self.write("private", content)}
            self.assert_fails(
                rf"auth\.0\.private_key_file: .*{reason}", *command, self.configure(section)
            )
        section = {**options, "private_key_file": "/nonexistent"}
        self.assert_fails("cannot be read", *command, self.configure(section))


class GiftlessTests(CommandTestCase):
    """The command itself."""

    def test_a_missing_command_is_an_error(self) -> None:
        self.assert_fails("which command")

    def test_an_unknown_command_is_an_error(self) -> None:
        self.assert_fails("nonsense", "nonsense")

    def test_options_may_stand_behind_the_arguments(self) -> None:
        """What has the form of an option behind ``--`` is an argument all the same."""
        for typed, limit, arguments in (
            (["acme/rocket", "--limit", "5"], 5, "acme/rocket"),
            (["acme/rocket", "--limit=5"], 5, "acme/rocket"),
            (["acme/rocket", "-l5"], 5, "acme/rocket"),
            (["-l", "5", "--", "--limit"], 5, "--limit"),
            (["--", "--limit"], None, "--limit"),
        ):
            command = LsCommand()
            command.parseOptions(typed)
            self.assertEqual((command["limit"], command["repo"].path), (limit, arguments))
        with self.assertRaises(usage.UsageError):
            LsCommand().parseOptions(["acme/rocket", "--nonsense"])

    def test_every_command_shows_the_version(self) -> None:
        """The version is giftless's, of the command and of each subcommand."""
        for arguments in (("--version",), *((name, "--version") for name, _, _ in ALL_COMMANDS)):
            self.assert_prints(f"giftless {giftless.__version__}\n", *arguments)

    def test_the_help_lists_every_command(self) -> None:
        """Every subcommand is listed, and has a help that begins with how to write it."""
        for name, _, purpose in ALL_COMMANDS:
            self.assert_prints(f"{name} ", "--help")
            self.assert_prints(purpose, "--help")
            self.assert_prints(f"Usage: giftless {name} ", name, "--help")

    def assert_prints(self, text: str, *arguments: str) -> None:
        """Check that the command prints something, and succeeds."""
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        with self.assertRaises(SystemExit) as caught:
            main(arguments)
        self.assertIn(caught.exception.code, (0, None))
        self.assertIn(text, output.getvalue())

    def test_the_commands_that_sshd_runs_are_the_first_word(self) -> None:
        """They have options of their own."""
        self.assert_fails("write: giftless ssh-serve", "--", "ssh-serve", "alice")

    def test_a_failure_exits_with_status_1(self) -> None:
        """As a process, it writes a failure to stderr and exits with status 1."""
        result = subprocess.run(
            [sys.executable, "-c", "from giftless.cli import main; main()", "token"],
            env={"PYTHONPATH": str(Path(giftless.__file__).parent.parent)},
            capture_output=True,
            text=True,
        )
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, r"\Agiftless: .*--scope.*\n\Z")
