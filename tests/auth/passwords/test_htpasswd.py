"""Password files: what is read, what is refused, how they are changed."""

from __future__ import annotations

import getpass
import io
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import argon2
import bcrypt
from hypothesis import given
from hypothesis import strategies as st

from giftless.auth.passwords import htpasswd
from giftless.auth.passwords.htpasswd import COST, Passwords, cost, hash_password, set_user, verify
from giftless.base.watched_file import FileProblem
from giftless.cli import main
from tests.support.passwords import quick_hash
from tests.support.run import CoroutineTestCase

#: Hashes whose passwords are known, from the test suites of crypt_blowfish and
#: of the Argon2 reference implementation.
VECTORS = (
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
    ("U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
    (
        "password",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    ),
)

#: The same, longer than bcrypt looks at.
LONG = (
    (
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        "0123456789chars after 72 are ignored"
    ),
    "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
)

ALICE = "$2b$04$" + "a" * 21 + "." + "b" * 31


class VerifyTests(CoroutineTestCase):
    def test_published_hashes_are_of_their_passwords_alone(self) -> None:
        for password, stored in VECTORS:
            self.assertEqual(Passwords.parse(f"x:{stored}".encode()).hashes, {"x": stored})
            self.assertTrue(verify(stored, password), stored)
            for wrong in ("", password + "x", password[:-1], password.swapcase()):
                self.assertFalse(verify(stored, wrong), (stored, wrong))

    def test_all_kinds_of_bcrypt_are_one(self) -> None:
        stored = quick_hash("secret")
        for kind in ("$2a$", "$2b$", "$2y$"):
            self.assertTrue(verify(kind + stored[4:], "secret"))

    def test_what_bcrypt_does_not_look_at_does_not_count(self) -> None:
        password, stored = LONG
        self.assertTrue(verify(stored, password))
        self.assertTrue(verify(stored, password[:72]))
        self.assertFalse(verify(stored, password[:71]))

    def test_argon2_hashes_of_the_library_are_taken(self) -> None:
        stored = argon2.PasswordHasher(time_cost=1, memory_cost=64).hash("caf\u00e9")
        Passwords.parse(f"x:{stored}".encode())
        self.assertTrue(verify(stored, "caf\u00e9"))
        self.assertFalse(verify(stored, "cafe"))

    @given(st.text(max_size=100))
    def test_whatever_is_tried_is_answered(self, password: str) -> None:
        for _, stored in (VECTORS[0], VECTORS[-1]):
            self.assertFalse(verify(stored, password + "x"))


class ParseTests(CoroutineTestCase):
    def problem(self, text: str | bytes) -> str:
        content = text if isinstance(text, bytes) else text.encode()
        return str(self.assertRaises(FileProblem, Passwords.parse, content))

    def test_users_and_hashes_are_read(self) -> None:
        text = f"# people\n\nalice:{ALICE}\r\n  bob:{ALICE}  \n#carol:x\ncaf\u00e9:{ALICE}"
        self.assertEqual(
            dict(Passwords.parse(text.encode()).hashes),
            {"alice": ALICE, "bob": ALICE, "caf\u00e9": ALICE},
        )

    def test_a_file_may_be_empty(self) -> None:
        passwords = Passwords.parse(b"")
        self.assertEqual((dict(passwords.hashes), passwords.decoys), ({}, ()))

    def test_there_is_a_decoy_of_each_cost(self) -> None:
        dear = bcrypt.hashpw(b"x", bcrypt.gensalt(5)).decode()
        text = f"alice:{ALICE}\nbob:{dear}\ncarol:{ALICE}\ndave:{dear}\n"
        self.assertEqual(sorted(map(cost, Passwords.parse(text.encode()).decoys)), ["04", "05"])

    def test_hashes_that_protect_nobody_are_refused_with_their_line(self) -> None:
        for stored, kind in (
            ("secret", "plain text"),
            ("", "plain text"),
            ("rqXexS6ZhobKA", "DES"),
            ("$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "MD5"),
            ("$1$Etg2ExUZ$F9NTP7omafhKIlqaBMqng1", "MD5"),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
            ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
            ("$5$MnfsQ4iN$ZMTppKN16y/tIsUYs/obHlhdP.Os80yXhTurpBMUbA5", "SHA-256"),
            ("$6$qFXMHQ2N$abc", "SHA-512"),
            ("$2x$04$" + ALICE[7:], "bcrypt"),
            ("$2b$03$" + ALICE[7:], "bcrypt"),
            ("$2b$18$" + ALICE[7:], "bcrypt"),
            ("$2b$31$" + ALICE[7:], "bcrypt"),
            (ALICE[:-1], "bcrypt"),
            (ALICE + "x", "bcrypt"),
            ("$2b$04$" + "9" * 53, "bcrypt"),
            (VECTORS[-1][1].replace("argon2id", "argon2i"), "not Argon2id"),
            (VECTORS[-1][1].replace("m=256", "m=9999999"), "more than 1 GiB"),
            (VECTORS[-1][1].replace("t=2", "t=200"), "99 passes"),
            (VECTORS[-1][1].replace("v=19", "v=16"), "damaged"),
            (VECTORS[-1][1][:60], "damaged"),
        ):
            problem = self.problem(f"bob:{ALICE}\n# comment\nalice:{stored}\n")
            self.assertTrue(problem.startswith("line 3: the password is "), problem)
            self.assertIn(kind, problem)
            if len(stored) > 8:
                self.assertNotIn(stored[5:], problem)

    def test_lines_of_another_form_are_refused(self) -> None:
        for text, words in (
            ("alice\n", "line 1: is not of the form user:hash"),
            (f":{ALICE}", "line 1: is not of the form user:hash"),
            (f"alice:{ALICE}\nalice:{ALICE}", "line 2: there is a line for this user already"),
            (b"\n\xff:x", "line 2: is not UTF-8"),
        ):
            self.assertEqual(self.problem(text), words)

    def test_what_a_hash_needs_must_be_installed(self) -> None:
        for stored, library in ((ALICE, "bcrypt"), (VECTORS[-1][1], "argon2")):
            self.addCleanup(sys.modules.__setitem__, library, sys.modules[library])
            sys.modules[library] = None  # type: ignore[assignment]
            problem = self.problem(f"alice:{stored}")
            self.assertIn(f"{library} is missing; install giftless[basic]", problem)

    def test_it_shows_no_hash(self) -> None:
        self.assertNotIn("aaaa", repr(Passwords.parse(f"alice:{ALICE}".encode())))


class HashTests(CoroutineTestCase):
    def test_a_new_hash_is_bcrypt_of_full_cost(self) -> None:
        stored = hash_password("s\u00e9cret")
        self.assertTrue(stored.startswith(f"$2b${COST}$"))
        self.assertGreaterEqual(COST, 12)
        Passwords.parse(f"x:{stored}".encode())
        self.assertTrue(verify(stored, "s\u00e9cret"))

    def test_passwords_that_bcrypt_cannot_take_are_refused(self) -> None:
        self.assertRaises(ValueError, hash_password, "")
        self.assertIn("72", str(self.assertRaises(ValueError, hash_password, "\u00e9" * 37)))


class SetUserTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.path = self.directory / "users"

    def set(self, user: str, stored: str = ALICE) -> bool:
        return set_user(str(self.path), user, stored)

    def mode(self) -> int:
        return stat.S_IMODE(self.path.stat().st_mode)

    def test_a_new_file_is_the_owners_alone(self) -> None:
        umask = os.umask(0)
        self.addCleanup(os.umask, umask)
        self.assertFalse(self.set("alice"))
        self.assertEqual(self.path.read_text(), f"alice:{ALICE}\n")
        self.assertEqual(self.mode(), 0o600)

    def test_a_user_is_added_at_the_end(self) -> None:
        self.path.write_text("# people\nalice:1\n\nbob:2")
        self.assertFalse(self.set("al"))
        self.assertEqual(self.path.read_text(), f"# people\nalice:1\n\nbob:2\nal:{ALICE}\n")

    def test_a_user_is_replaced_in_place(self) -> None:
        self.path.write_text("# people\nalice:1\n  bob:2\ncarol:3\n")
        self.assertTrue(self.set("bob"))
        self.assertEqual(self.path.read_text(), f"# people\nalice:1\nbob:{ALICE}\ncarol:3\n")

    def test_the_mode_stays(self) -> None:
        self.path.write_text("")
        for mode in (0o600, 0o640, 0o444):
            self.path.chmod(mode)
            self.set("alice")
            self.assertEqual(self.mode(), mode)

    def test_the_owner_stays(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root can give files away")
        self.path.write_text("")
        os.chown(self.path, 1234, 4321)
        self.path.chmod(0o640)
        self.set("alice")
        status = self.path.stat()
        self.assertEqual((status.st_uid, status.st_gid, self.mode()), (1234, 4321, 0o640))

    def test_a_symbolic_link_stays_one(self) -> None:
        link = self.directory / "link"
        link.symlink_to(self.path)
        set_user(str(link), "alice", ALICE)
        self.assertTrue(link.is_symlink())
        self.assertEqual(self.path.read_text(), f"alice:{ALICE}\n")

    def test_a_reader_never_sees_half_a_file(self) -> None:
        """The old file is whole for whoever has it open."""
        self.path.write_text("alice:1\n" * 1000)
        with self.path.open() as file:
            self.set("bob")
            self.assertEqual(file.read(), "alice:1\n" * 1000)

    def test_nothing_is_left_behind(self) -> None:
        self.set("alice")
        self.assertEqual(os.listdir(self.directory), ["users"])
        self.patch(os, "rename", self.refuse)
        self.assertRaises(OSError, self.set, "bob")
        self.assertEqual(os.listdir(self.directory), ["users"])
        self.assertEqual(self.path.read_text(), f"alice:{ALICE}\n")

    def refuse(self, *arguments: object) -> None:
        raise OSError(28, "No space left on device")

    def test_those_who_change_it_at_the_same_time_lose_nothing(self) -> None:
        names = [f"user{number}" for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.set, names))
        self.assertEqual(set(Passwords.parse(self.path.read_bytes()).hashes), set(names))

    def test_names_that_cannot_be_are_refused(self) -> None:
        for user in ("", "a:b", "a\nb", " a", "a ", "#a", "a\0b"):
            self.assertRaises(ValueError, self.set, user)
        self.assertFalse(self.path.exists())


class CommandTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.output = io.StringIO()
        self.patch(sys, "stdout", self.output)
        # The full cost is another test's.
        self.patch(htpasswd, "COST", 4)

    def answer(self, *passwords: str) -> None:
        """Type passwords at the prompts."""
        answers = iter(passwords)
        self.patch(getpass, "getpass", lambda prompt: next(answers))

    def error(self, *arguments: str) -> str:
        """Return the line that a failing command ends with."""
        return str(self.assertRaises(SystemExit, main, ["htpasswd", *arguments]).code)

    def is_password(self, user: str, password: str) -> bool:
        return verify(Passwords.parse(self.path.read_bytes()).hashes[user], password)

    def test_a_user_is_added_and_changed(self) -> None:
        self.answer("secret", "secret", "changed", "changed")
        main(["htpasswd", str(self.path), "alice"])
        self.assertTrue(self.is_password("alice", "secret"))
        main(["htpasswd", str(self.path), "alice"])
        self.assertTrue(self.is_password("alice", "changed"))
        self.assertEqual(self.output.getvalue(), "added alice\nchanged alice\n")

    def test_the_password_may_come_from_standard_input(self) -> None:
        self.patch(sys, "stdin", io.StringIO(" two words \nsecond line\n"))
        main(["htpasswd", "--stdin", str(self.path), "alice"])
        self.assertTrue(self.is_password("alice", " two words "))

    def test_passwords_that_differ_change_nothing(self) -> None:
        self.answer("secret", "sceret")
        self.assertEqual(
            self.error(str(self.path), "alice"), "giftless: the passwords are not the same"
        )
        self.assertFalse(self.path.exists())

    def test_what_is_wrong_is_said_in_one_line(self) -> None:
        self.answer(*["", ""], *["x" * 73] * 2, *["x"] * 4)
        self.assertEqual(self.error(str(self.path), "alice"), "giftless: the password is empty")
        self.assertIn("bcrypt takes up to 72", self.error(str(self.path), "alice"))
        self.assertIn("has no ':'", self.error(str(self.path), "a:b"))
        self.assertIn("No such file", self.error(str(self.path / "x"), "alice"))
        self.assertIn("give the file and the user", self.error(str(self.path)))

    def test_its_library_must_be_installed(self) -> None:
        self.answer("x", "x")
        self.addCleanup(sys.modules.__setitem__, "bcrypt", bcrypt)
        sys.modules["bcrypt"] = None  # type: ignore[assignment]
        self.assertIn("install giftless[basic]", self.error(str(self.path), "alice"))
