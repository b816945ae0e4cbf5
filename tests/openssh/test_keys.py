"""``giftless ssh-keys``: the lines that OpenSSH's server is given."""

from __future__ import annotations

import base64
import io
import shlex
import sys
from pathlib import Path

import msgspec

from giftless.base.ssh_greeting import Listed, ListedKey, Owned, WhichKeys, WhoseKey
from giftless.openssh import keys
from giftless.openssh.lines import line_of
from tests.openssh.stand_in import answering
from tests.openssh.test_serve import SessionTestCase
from tests.support.ssh_keys import KINDS, keygen, make_key

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPYQ6Gb5o9KoX3+9Q1w1Qm0l1kT8oJ3m3yGqJr0T5v0a"
KIND, KEY = ED25519.split()
SERVE = ("/usr/bin/giftless", "ssh-serve", "--socket", "/run/s")

#: Names that mean something to a shell, or to sshd.
NAMES = (
    "alice",
    "alice bob",
    "-rf",
    "a'b",
    'a"b',
    "a\\b",
    'a\\"b',
    "a\\\\",
    "a,b=c",
    "$(id)",
    "`id`; id",
    "équipe",
    "#",
    "%u",
    "*",
)


def options_of(line: str) -> tuple[list[str], str]:
    """Divide a line as sshd does (``auth-options.c``).

    :returns: the options, with their values unquoted, and the key.
    """
    options, quoted, place = [""], False, 0
    while place < len(line) and (quoted or line[place] not in " \t"):
        if line[place : place + 2] == '\\"':
            options[-1] += '"'
            place += 1
        elif line[place] == '"':
            quoted = not quoted
        elif line[place] == "," and not quoted:
            options.append("")
        else:
            options[-1] += line[place]
        place += 1
    return options, line[place + 1 :]


class LineTests(SessionTestCase):
    def test_a_key_runs_one_command_and_nothing_else(self) -> None:
        self.assertEqual(
            line_of(SERVE, "alice", "basic", ED25519),
            'restrict,command="/usr/bin/giftless ssh-serve --socket /run/s --realm basic'
            f' -- alice" {ED25519}',
        )

    def test_whatever_a_user_is_called_arrives_as_one_word(self) -> None:
        """As the shell divides the command that sshd has taken out of the line."""
        for name in NAMES:
            (restrict, command), key = options_of(line_of(SERVE, name, f"x:{name}", ED25519))
            self.assertEqual((restrict, key), ("restrict", ED25519))
            words = shlex.split(command.removeprefix("command="))
            self.assertEqual(words, [*SERVE, "--realm", f"x:{name}", "--", name])

    def test_what_does_not_fit_into_a_line_is_refused(self) -> None:
        for text in ("a\nb", "a\rb", "a\0b", "\x1b", "\x85", "\u2028", "\ud800"):
            for arguments in ((text, "basic", ED25519), ("a", text, ED25519), ("a", "b", text)):
                with self.assertRaises(ValueError):
                    line_of(SERVE, *arguments)


class CertificateTests(SessionTestCase):
    """Certificates that ``ssh-keygen`` makes."""

    def setUp(self) -> None:
        super().setUp()
        self.keys = Path(self.mktemp())
        self.keys.mkdir()
        self.authority = self.keys / "ca"
        make_key(self.authority)

    def key(self, file: str) -> str:
        """Return a key, without its comment."""
        return " ".join((self.keys / file).read_text().split()[:2])

    def certificate(self, kind: str, bits: str, *principals: str) -> str:
        """Make a certificate."""
        name = f"user-{kind}{bits}"
        public = make_key(self.keys / name, kind, bits)
        named = ["-n", ",".join(principals)] if principals else []
        signing = ("-q", "-s", str(self.authority), "-I", "alice at work", *named, "-V", "+1h")
        keygen(*signing, str(public))
        return self.key(f"{name}-cert.pub")

    def test_the_line_is_for_who_has_signed_it_and_whom_it_names(self) -> None:
        for kind, bits in KINDS:
            certificate = self.certificate(kind, bits, "alice", "bob")
            options, key = options_of(line_of(SERVE, "alice", "certificates", certificate))
            self.assertEqual(options[:3], ["restrict", "cert-authority", "principals=alice,bob"])
            self.assertEqual(key, self.key("ca.pub"))

    def test_a_certificate_that_names_nobody_is_refused(self) -> None:
        """sshd would refuse it, too."""
        with self.assertRaisesRegex(ValueError, "names nobody"):
            line_of(SERVE, "alice", "certificates", self.certificate("ed25519", ""))

    def test_a_certificate_that_is_cut_or_forged_is_refused(self) -> None:
        certificate = self.certificate("ed25519", "", "alice")
        kind, encoded = certificate.split()
        blob = base64.b64decode(encoded)
        for end in range(0, len(blob) - 90, 7):
            cut = base64.b64encode(blob[:end]).decode()
            with self.assertRaises(ValueError):
                line_of(SERVE, "alice", "certificates", f"{kind} {cut}")
        for other in (
            f"ssh-dss-cert-v01@openssh.com {encoded}",
            f"ssh-rsa-cert-v01@openssh.com {encoded}",
            f"{kind} !",
            f"{kind} ",
            kind,
        ):
            with self.assertRaises(ValueError):
                line_of(SERVE, "alice", "certificates", other)


class CommandTests(SessionTestCase):
    def run_keys(self, *arguments: str) -> tuple[str, str, str]:
        """Run the command in this process.

        :returns: what it prints to stdout and to stderr, and why it fails.
        """
        stdout, stderr = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", stdout)
        self.patch(sys, "stderr", stderr)
        failure = ""
        try:
            keys.main(("--socket", str(self.socket), *arguments))
        except SystemExit as end:
            failure = str(end)
        return stdout.getvalue(), stderr.getvalue(), failure

    def line(self, user: str, realm: str = "basic", key: str = ED25519) -> str:
        """Return the line for a key."""
        serve = ("giftless", "ssh-serve", "--socket", str(self.socket.resolve()))
        return f"{line_of(serve, user, realm, key)}\n"

    def test_the_owner_of_the_key_that_sshd_asks_about_gets_a_line(self) -> None:
        daemon = self.stand_in(answering(Owned("alice", "basic")))
        self.assertEqual(self.run_keys("git", KIND, KEY), (self.line("alice"), "", ""))
        asked = WhoseKey(base64.b64decode(KEY), "git")
        self.assertEqual(daemon.asked, [asked])
        self.run_keys("git", KIND, KEY, "198.51.100.7 50000 192.0.2.1 22")
        asked = msgspec.structs.replace(asked, address="198.51.100.7")
        self.assertEqual(daemon.asked[1:], [asked])

    def test_nobodys_key_gets_no_line(self) -> None:
        self.stand_in(answering(Owned()))
        self.assertEqual(self.run_keys("git", KIND, KEY), ("", "", ""))

    def test_what_cannot_be_told_now_is_a_failure(self) -> None:
        """So that sshd's log says why nobody is let in."""
        self.stand_in(answering(Owned(problem="GitHub does not answer")))
        self.assertEqual(
            self.run_keys("git", KIND, KEY), ("", "", "giftless: GitHub does not answer")
        )

    def test_all_keys_are_listed(self) -> None:
        """As many as there are."""
        known = tuple(ListedKey(f"u{number}", "basic", ED25519) for number in range(5000))
        daemon = self.stand_in(answering(Listed(known)))
        lines, complaints, failure = self.run_keys()
        self.assertEqual((complaints, failure), ("", ""))
        self.assertEqual(lines, "".join(self.line(each.user) for each in known))
        self.assertEqual(daemon.asked, [WhichKeys()])

    def test_a_list_with_gaps_is_a_failure(self) -> None:
        """What is known is printed; who writes a file of it sees that something lacks."""
        known = (
            ListedKey("al\nice", "basic", ED25519),
            ListedKey("bob", "gitea:x", ED25519),
        )
        self.stand_in(answering(Listed(known, "Gitea does not answer")))
        lines, complaints, failure = self.run_keys()
        self.assertEqual(lines, self.line("bob", "gitea:x"))
        self.assertRegex(complaints, r"\Agiftless: left out: 'al\\nice'.*\n\Z")
        self.assertEqual(failure, "giftless: Gitea does not answer")

    def test_another_command_may_serve(self) -> None:
        """One that runs git, too."""
        self.stand_in(answering(Owned("alice", "basic")))
        lines, _, _ = self.run_keys(
            "--command", "/usr/local/bin/git-and-lfs 'a b'", "git", KIND, KEY
        )
        self.assertEqual(
            lines,
            "restrict,command=\"/usr/local/bin/git-and-lfs 'a b' --realm basic -- alice\""
            f" {ED25519}\n",
        )
        self.assertRegex(self.run_keys("--command", "'")[2], "--command: No closing quotation")

    def test_it_takes_what_sshd_knows_of_a_key_or_nothing(self) -> None:
        for arguments in (("git",), ("git", KIND), ("git", KIND, KEY, "x", "y")):
            self.assertRegex(self.run_keys(*arguments)[2], "needs no arguments, or")
