"""What ``giftless check`` says of folders, certificates, versions, clocks and processes."""

from __future__ import annotations

import datetime
import os
import socket
import stat
import tempfile
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from unittest.mock import patch

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface import implementer

from giftless.app.config import parse
from giftless.commands import CommandError
from giftless.commands.check import folders
from giftless.commands.check.certificates import look_at_certificates
from giftless.commands.check.clocks import look_at_stores
from giftless.commands.check.daemon import become, look_at_daemon, user_of
from giftless.commands.check.folders import look_at_folder, written_folders
from giftless.commands.check.processes import Process, find_daemon
from giftless.commands.check.versions import look_at_versions
from giftless.commands.findings import Finding
from giftless.errors import StorageUnavailable
from giftless.interfaces import IDated
from giftless.web.limits import Limits
from tests.support.run import CoroutineTestCase

#: A number that is no user's.
NOBODY = 65_482

#: The time in these tests, in seconds since the epoch.
NOW = 1_800_000_000.0
DAY = 86_400


def certificate(
    start: float, end: float, key: ec.EllipticCurvePrivateKey | None = None
) -> tuple[bytes, bytes]:
    """Make a certificate and the PEM of another key or of its own.

    :param start: when it begins to be valid, in days from now.
    :param end: when that ends.
    """
    own = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lfs.example")])
    at = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(own.public_key())
        .serial_number(1)
        .not_valid_before(at + datetime.timedelta(days=start))
        .not_valid_after(at + datetime.timedelta(days=end))
        .sign(own, hashes.SHA256())
    )
    pem = (key or own).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM), pem


class FolderTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()


class CertificateTests(FolderTestCase):
    def look(self, made: tuple[bytes, bytes]) -> Finding:
        """Look at the certificate of an endpoint."""
        (self.folder / "cert.pem").write_bytes(made[0])
        (self.folder / "key.pem").write_bytes(made[1])
        endpoint = f"ssl:8443:privateKey={self.folder}/key.pem:certKey={self.folder}/cert.pem"
        (finding,) = look_at_certificates(["tcp:80", endpoint], NOW)
        return finding

    def test_it_is_judged_by_how_long_it_is_valid(self) -> None:
        for start, end, verdict, words in (
            (-1, 60, "ok", "for 60 days"),
            (-1, 13.5, "warning", "for 13 days"),
            (-9, -0.01, "failed", "expired on 2027-01-1"),
            (0.5, 60, "failed", "not valid before"),
        ):
            finding = self.look(certificate(start, end))
            self.assertEqual(finding.verdict, verdict, finding)
            self.assertIn(words, finding.found)
            self.assertEqual(bool(finding.operator), verdict != "ok")

    def test_another_key_is_noticed(self) -> None:
        finding = self.look(certificate(-1, 60, ec.generate_private_key(ec.SECP256R1())))
        self.assertEqual(finding.verdict, "failed")
        self.assertIn("is not that of the certificate", finding.found)

    def test_files_that_are_no_certificates_are_named(self) -> None:
        self.assertIn("are no certificate", self.look((b"x", b"y")).found)
        (finding,) = look_at_certificates([f"ssl:1:privateKey={self.folder}/none"], NOW)
        self.assertIn(f"{self.folder}/none cannot be read: No such file", finding.found)


class WrittenFoldersTests(FolderTestCase):
    def verdicts(self) -> dict[str, str]:
        return {each.check: each.verdict for each in look_at_folder(str(self.folder), set())}

    def test_all_folders_of_a_configuration_are_looked_at(self) -> None:
        for name in ("state", "objects", "db", "log"):
            (self.folder / name).mkdir()
        text = f"""
            state_dir: {self.folder}/state
            storage: {{type: wrapper, store: {{type: local, path: {self.folder}/objects}}}}
            locks: {{type: sqlite, path: {self.folder}/db/locks.sqlite}}
            catalogue: {{type: sqlite, path: {self.folder}/absent/catalogue.sqlite}}
            observers: [{{type: audit, file: {self.folder}/log/audit}}]
        """
        found = written_folders(parse("", text, {}).config)
        self.assertEqual(
            found, [f"{self.folder}/{name}" for name in ("state", "objects", "db", "log")]
        )

    def test_a_good_folder_raises_no_alarm(self) -> None:
        facts = os.statvfs(self.folder)
        with patch.object(folders, "_NO_BYTES", 0), patch.object(folders, "_LITTLE_BYTES", 0):
            found = self.verdicts()
        if not facts.f_files:
            found["inodes"] = "ok"
        self.assertEqual(found, dict.fromkeys(("folders", "disk", "inodes", "time"), "ok"))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_disk_with_several_folders_is_looked_at_once(self) -> None:
        disks: set[int] = set()
        first = [each.check for each in look_at_folder(str(self.folder), disks)]
        self.assertIn("disk", first)
        again = [each.check for each in look_at_folder(str(self.folder), disks)]
        self.assertEqual(again, ["folders"])

    def test_a_full_disk_is_told(self) -> None:
        for share, verdict in ((1e18, "failed"), (0, "warning")):
            with (
                patch.object(folders, "_NO_BYTES", share),
                patch.object(folders, "_LITTLE_BYTES", 1e18),
                patch.object(folders, "_LITTLE_SHARE", 1.1),
            ):
                self.assertEqual(self.verdicts()["disk"], verdict)

    def test_few_files_are_told(self) -> None:
        for left, verdict in ((0, "failed"), (4, "warning"), (50, "ok")):
            facts = os.statvfs_result((4096, 4096, 10**9, 10**9, 10**9, 100, left, left, 0, 255))
            with patch.object(os, "statvfs", lambda _, facts=facts: facts):
                self.assertEqual(self.verdicts()["inodes"], verdict)

    def test_a_file_server_whose_clock_is_off_is_told(self) -> None:
        real = os.fstat

        def ahead(descriptor: int) -> os.stat_result:
            facts = list(real(descriptor))
            facts[stat.ST_MTIME] += 60
            return os.stat_result(facts)

        with patch.object(os, "fstat", ahead):
            (finding,) = (
                each for each in look_at_folder(str(self.folder), set()) if each.check == "time"
            )
        self.assertEqual(finding.verdict, "warning")
        self.assertIn("ahead of this machine's", finding.found)

    def test_a_folder_without_permission_is_told(self) -> None:
        with patch.object(os, "access", lambda *_: False):
            (finding,) = look_at_folder(str(self.folder), set())
        self.assertEqual((finding.check, finding.verdict), ("folders", "failed"))


class VersionTests(SynchronousTestCase):
    def look(self, *requirements: str) -> list[str]:
        """Return what is wrong if attrs 24.1 and nothing else is installed."""

        def version_of(name: str) -> str:
            if name == "attrs":
                return "24.1.0rc1"
            raise PackageNotFoundError(name)

        found = look_at_versions(requirements, version_of)
        return [each.found for each in found if each.verdict != "ok"]

    def test_what_is_too_old_or_missing_is_told(self) -> None:
        self.assertEqual(self.look("attrs>=24.1", "attrs>=24", "attrs", "attrs[x]>=9.30"), [])
        self.assertEqual(self.look("attrs>=24.1.1"), ["attrs 24.1.0rc1 is older than 24.1.1"])
        self.assertEqual(self.look("klein>=24"), ["klein is not installed"])

    def test_what_belongs_to_an_extra_may_be_missing_but_not_too_old(self) -> None:
        self.assertEqual(self.look('botocore>=1; extra == "s3"', 'ruff>=9; extra == "lint"'), [])
        self.assertEqual(self.look('attrs>=9; extra == "lint"'), [])
        self.assertEqual(len(self.look('attrs[y]>=25 ; extra == "s3"')), 1)

    def test_this_installation_is_complete(self) -> None:
        self.assertEqual([each.verdict for each in look_at_versions()], ["ok", "ok"])


@implementer(IDated)
class DatedStore:
    def __init__(self, told: float | None) -> None:
        self.told = told

    async def time(self) -> float:
        if self.told is None:
            raise StorageUnavailable("it is away", 5)
        return self.told


class ClockTests(CoroutineTestCase):
    def test_clocks_of_stores_are_compared(self) -> None:
        for told, verdict in (
            (NOW, "ok"),
            (NOW - 20, "ok"),
            (NOW + 40, "warning"),
            (NOW - 40, "warning"),
            (NOW + 1000, "failed"),
            (NOW - 1000, "failed"),
            (None, "skipped"),
        ):
            parts = {"storage": DatedStore(told), "locks": object()}
            (finding,) = self.run_now(look_at_stores(parts, lambda: NOW))
            self.assertEqual(finding.verdict, verdict, told)
            self.assertIn("storage", finding.found)


class ProcessTests(FolderTestCase):
    def test_the_process_that_listens_is_found(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            for endpoint in (f"tcp:{port}:interface=127.0.0.1", f"haproxy:tcp:port={port}"):
                (process,) = find_daemon([endpoint])
                self.assertEqual((process.pid, process.uid), (os.getpid(), os.geteuid()))
                self.assertGreater(process.limit, process.descriptors)
                self.assertGreater(process.descriptors, 3)
        self.assertEqual(find_daemon([f"tcp:{port}"]), [])

    def test_a_unix_socket_is_found(self) -> None:
        # A path below the folder of tests may be too long for a socket.
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
            server.bind(f"{folder}/s:1")
            self.assertEqual(find_daemon([f"unix:{folder}/s"]), [])
            (process,) = find_daemon([f"unix:{folder}/s\\:1:mode=660"])
            self.assertEqual(process.pid, os.getpid())

    def test_sockets_of_systemd_are_not_guessed(self) -> None:
        self.assertEqual(find_daemon(["systemd:domain=INET:index=0"]), [])

    def look(self, used: int, limit: int) -> Finding:
        processes = [Process(1, 0, 5, limit), Process(2, 0, used, limit)]
        *_, finding = look_at_daemon(processes, Limits())
        return finding

    def test_descriptors_are_judged_by_the_limits(self) -> None:
        self.assertEqual(self.look(100, 65536).verdict, "ok")
        self.assertIn("one client can take all", self.look(100, 1024).found)
        self.assertEqual(self.look(60_000, 65536).verdict, "warning")
        (finding,) = look_at_daemon([], Limits())
        self.assertEqual(finding.verdict, "skipped")

    def test_a_user_may_have_a_number_and_no_name(self) -> None:
        """As one that systemd makes has on a small machine."""
        if os.geteuid():
            raise SkipTest("only root becomes somebody else")
        child = os.fork()
        if not child:
            try:
                become(NOBODY)
                found = (*os.getresuid(), *os.getresgid(), *os.getgroups())
                os._exit(len(set(found) - {NOBODY}))
            finally:
                os._exit(99)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def test_the_user_is_named_found_or_the_owner(self) -> None:
        folder, daemon = str(self.folder), [Process(1, 77, 5, 100)]
        self.assertEqual(user_of("5", daemon, folder), 5)
        self.assertEqual(user_of("root", daemon, folder), 0)
        self.assertEqual(user_of(None, daemon, folder), 77)
        self.assertEqual(user_of(None, [], folder), os.geteuid())
        self.assertEqual(user_of(None, [], f"{folder}/none"), os.geteuid())
        with self.assertRaisesRegex(CommandError, "no user 'nobody-at-all'"):
            user_of("nobody-at-all", [], folder)
