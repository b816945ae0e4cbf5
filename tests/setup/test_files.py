"""Files appear whole, with the right rights, or not at all."""

from __future__ import annotations

import os
import signal
import stat
import threading
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from giftless.setup.files import FilesProblem, Owners, WrittenInPart, read, write
from giftless.setup.plan import NewFile
from tests.support.disks import small_disk

#: A user who owns nothing.
NOBODY = 65534


class Killed(BaseException):
    """The process ends here."""


class FilesTestCase(SynchronousTestCase):
    """A directory, and files to write into it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(mode=0o755)
        self.owners = Owners(os.geteuid(), os.geteuid(), os.getegid())
        self.config = self.folder / "giftless.yaml"
        self.secret = self.folder / "deep" / "se cret\"'"

    def files(self, old: bytes | None = None) -> list[NewFile]:
        """Return a secret and a configuration."""
        return [
            NewFile(str(self.secret), b"secret", None, private=True),
            NewFile(str(self.config), b"new", old),
        ]

    def write(self, files: list[NewFile] | None = None, **folders: int) -> None:
        """Write the files."""
        paths = {str(self.folder / name): mode for name, mode in folders.items()}
        write(self.files() if files is None else files, paths, self.owners)

    def there(self) -> list[str]:
        """List all that is in the directory."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def assert_refused(self, words: str, files: list[NewFile] | None = None) -> None:
        """Fail unless nothing is written, and the error has ``words``."""
        before = self.there()
        error = self.assertRaises(FilesProblem, self.write, files)
        self.assertIn(words, str(error))
        self.assertEqual(self.there(), before)


class WritingTests(FilesTestCase):
    def test_files_appear_with_their_modes(self) -> None:
        self.write(state=0o700, objects=0o750)
        modes = {
            name: oct(stat.S_IMODE((self.folder / name).stat().st_mode)) for name in self.there()
        }
        self.assertEqual(
            modes,
            {
                "deep": "0o755",
                "deep/se cret\"'": "0o600",
                "giftless.yaml": "0o644",
                "objects": "0o750",
                "state": "0o700",
            },
        )

    def test_the_service_reads_what_it_needs_and_nobody_else_does(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root can give files away")
        self.owners = Owners(0, NOBODY, NOBODY)
        own = NewFile(str(self.folder / "password"), b"x", None, private=True, own=True)
        self.write([*self.files(), own], objects=0o750)
        found = {
            name: (status.st_uid, status.st_gid, oct(stat.S_IMODE(status.st_mode)))
            for name in self.there()
            if (status := (self.folder / name).stat())
        }
        self.assertEqual(found["objects"], (NOBODY, NOBODY, "0o750"))
        self.assertEqual(found["deep/se cret\"'"], (0, NOBODY, "0o640"))
        self.assertEqual(found["giftless.yaml"], (0, 0, "0o644"))
        self.assertEqual(found["password"], (0, 0, "0o600"))

    def test_a_file_keeps_its_mode_but_a_secret_is_for_nobody_else(self) -> None:
        self.config.write_bytes(b"old")
        self.config.chmod(0o600)
        self.secret.parent.mkdir()
        self.secret.write_bytes(b"old")
        self.secret.chmod(0o666)
        secret = NewFile(str(self.secret), b"secret", b"old", private=True)
        self.write([secret, *self.files(b"old")[1:]])
        self.assertEqual(stat.S_IMODE(self.config.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.secret.stat().st_mode), 0o640)

    def test_a_link_stays_one(self) -> None:
        real = self.folder / "real.yaml"
        real.write_bytes(b"old")
        self.config.symlink_to(real.name)
        self.write(self.files(b"old"))
        self.assertTrue(self.config.is_symlink())
        self.assertEqual(real.read_bytes(), b"new")

    def test_what_an_earlier_run_has_left_is_removed(self) -> None:
        left = self.folder / ".giftless.yaml.giftless-setup-0123456789abcdef"
        left.write_bytes(b"half")
        self.write()
        self.assertNotIn(left.name, self.there())


class RefusingTests(FilesTestCase):
    def test_what_others_could_change_is_refused(self) -> None:
        self.folder.chmod(0o777)
        self.assert_refused("chmod o-w")
        if os.geteuid() == 0:
            self.folder.chmod(0o755)
            os.chown(self.folder, NOBODY, NOBODY)
            self.assert_refused("belongs to somebody else")

    def test_files_and_links_of_others_are_left_alone(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root can give files away")
        self.config.write_bytes(b"old")
        os.chown(self.config, NOBODY, NOBODY)
        self.assert_refused("belongs to somebody else", self.files(b"old"))
        self.config.unlink()
        self.config.symlink_to("/etc/passwd")
        os.chown(self.config, NOBODY, NOBODY, follow_symlinks=False)
        self.assert_refused("somebody else has made")

    def test_a_file_that_was_changed_meanwhile_is_left_alone(self) -> None:
        self.config.write_bytes(b"somebody was faster")
        self.assert_refused("was changed meanwhile", self.files(b"old"))

    def test_no_file_is_written_wherever_one_is(self) -> None:
        self.assert_refused("whole path", [NewFile("htpasswd", b"", None)])

    def test_no_file_is_two(self) -> None:
        self.secret = self.folder / "link"
        self.secret.symlink_to(self.config)
        self.assert_refused("two files at once")

    def test_a_directory_in_the_way_is_refused(self) -> None:
        self.config.mkdir()
        self.assert_refused("Is a directory", self.files()[1:])

    def test_what_is_no_file_is_not_read(self) -> None:
        os.mkfifo(self.config)
        self.assertRaises(FilesProblem, read, str(self.config))
        self.assertRaises(FilesProblem, read, "/dev/zero")
        self.assertIsNone(read(str(self.folder / "missing")))
        self.config.unlink()
        self.config.write_bytes(b"x" * ((1 << 20) + 1))
        self.assertRaises(FilesProblem, read, str(self.config))

    def test_a_full_disk_changes_nothing(self) -> None:
        with small_disk(self.folder, 65536):
            self.config.write_bytes(b"old")
            (self.folder / "full").write_bytes(b"x" * 40960)
            files = self.files(b"old")
            files[1] = NewFile(str(self.config), b"x" * 60000, b"old")
            self.assert_refused("No space left on device", files)
            self.assertEqual(self.config.read_bytes(), b"old")


class EndingTests(FilesTestCase):
    """The process ends at any call of the system."""

    calls = ("open", "mkdir", "fsync", "fchmod", "rename", "unlink", "stat", "listdir")

    def end_at(self, number: int, error: BaseException) -> bool:
        """Write, and end at the call of that number.

        :returns: whether there were that many calls.
        """
        left = number

        def counting(real: Any) -> Any:
            def call(*arguments: Any, **more: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    raise error
                return real(*arguments, **more)

            return call

        patches = [mock.patch.object(os, name, counting(getattr(os, name))) for name in self.calls]
        for patch in patches:
            patch.start()
        try:
            self.write(self.files(b"old"), state=0o700)
        except (Killed, KeyboardInterrupt, FilesProblem, WrittenInPart):
            pass
        finally:
            for patch in patches:
                patch.stop()
        return left <= 0

    def test_whatever_ends_it_the_configuration_is_old_or_new(self) -> None:
        """And names nothing that is not there yet."""
        for error in (Killed(), KeyboardInterrupt(), OSError(28, "No space left on device")):
            for number in range(1, 100):
                self.config.write_bytes(b"old")
                self.secret.unlink(missing_ok=True)
                reached = self.end_at(number, error)
                config = self.config.read_bytes()
                self.assertIn(config, (b"old", b"new"), number)
                if config == b"new":
                    self.assertEqual(self.secret.read_bytes(), b"secret")
                # The next run goes on from there, and removes what this one has left.
                present = read(str(self.secret))
                again = NewFile(str(self.secret), b"secret", present, private=True)
                self.write([again, *self.files(config)[1:]])
                self.assertEqual([n for n in self.there() if ".giftless-setup-" in n], [])
                if not reached:
                    break
            else:
                self.fail("there is no end of calls")

    def test_a_signal_waits_until_all_is_renamed(self) -> None:
        rename, seen = os.rename, []
        self.addCleanup(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT))
        signal.signal(signal.SIGINT, lambda *_: seen.append(self.there()))

        def interrupted(*arguments: Any) -> None:
            # Other tests may have left threads, which setup has not.
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            rename(*arguments)

        with mock.patch.object(os, "rename", interrupted):
            self.write()
        self.assertEqual(seen, [["deep", "deep/se cret\"'", "giftless.yaml"]])


class OwnersTests(SynchronousTestCase):
    def test_a_user_may_have_a_number_alone(self) -> None:
        """As in a container."""
        owners = Owners.of("1234567")
        self.assertEqual((owners.service_uid, owners.service_gid), (1234567, 1234567))

    def test_a_user_that_does_not_exist_is_refused(self) -> None:
        self.assertRaises(FilesProblem, Owners.of, "is-not-there")
