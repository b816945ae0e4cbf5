"""The Debian package: installed, upgraded, removed and purged, in a Debian of its own."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.integration.support import Git, IntegrationTestCase
from tests.support.debian import Machine, clean_root, package, with_version
from tests.support.processes import wait_until
from tests.support.rounds import rounds

CONFIG = "/etc/giftless/giftless.yaml"

CHECK = ("giftless", "check", "--config", CONFIG)

OBJECTS = "/var/lib/giftless/objects/"

#: What dpkg, adduser and systemd write for themselves.
NOT_OURS = ("/var/lib/dpkg/", "/var/log/", "/var/cache/", "/etc/.pwd.lock", "/var/lib/systemd/")

#: Lets everybody write, as an operator would by hand.
OPEN = f"sed -i 's/^    #access: read$/    access: read-write/' {CONFIG}"

#: Uploads an object: half of it now, a little at a time until ``/mnt/go`` is there, then the
#: rest.
SLOW = """
import hashlib, http.client, json, os, sys, time
data = bytes(40_000_000)
oid = hashlib.sha256(data).hexdigest()
client = http.client.HTTPConnection("127.0.0.1", 8080)
body = {"operation": "upload", "objects": [{"oid": oid, "size": len(data)}]}
kind = {"Content-Type": "application/vnd.git-lfs+json", "Accept": "application/vnd.git-lfs+json"}
client.request("POST", "/acme/slow.git/info/lfs/objects/batch", json.dumps(body), kind)
(entry,) = json.load(client.getresponse())["objects"]
action = entry["actions"]["upload"]
client.putrequest("PUT", action["href"].removeprefix("http://127.0.0.1:8080"))
for name, value in {**action["header"], "Content-Length": str(len(data))}.items():
    client.putheader(name, value)
client.endheaders(data[:1_000_000])
sent = 1_000_000
open("/mnt/begun", "w").close()
while not os.path.exists("/mnt/go"):
    time.sleep(0.1)
    # Less would be taken for a client that has gone.
    client.send(data[sent : sent + 5000])
    sent += 5000
client.send(data[sent:])
status = str(client.getresponse().status)
with open("/mnt/answer", "w") as answer:
    answer.write(status)
os.rename("/mnt/answer", "/mnt/status")
"""


class DebianTestCase(IntegrationTestCase):
    """Tests with a package and a machine to install it on."""

    def setUp(self) -> None:
        """Boot the machine; the package is in its ``/mnt``."""
        super().setUp()
        # What makes it impossible first, what is expensive last.
        clean_root()
        place = self.directory / "machine"
        place.mkdir()
        self.machine = Machine(place)
        self.addCleanup(self.machine.stop)
        self.first = self.machine.shared / package().name
        shutil.copy(package(), self.first)

    def dpkg(self, archive: Path) -> str:
        """Install a package of its ``/mnt``.

        :returns: what dpkg printed.
        """
        return self.machine.run("dpkg", "-i", f"/mnt/{archive.name}")

    def state(self) -> str:
        """Return what dpkg says of the package."""
        return self.machine.run("dpkg-query", "-W", "-f", "${db:Status-Status}", "giftless")

    def status(self) -> str:
        """Return what the daemon tells systemd of itself."""
        return self.machine.run(
            "systemctl", "show", "--property=StatusText", "--value", "giftless.service"
        ).strip()

    def main_pid(self) -> str:
        """Return the number of the daemon's process."""
        return self.machine.run(
            "systemctl", "show", "--property=MainPID", "--value", "giftless.service"
        )

    def digests(self) -> str:
        """Tell what must stay as it is: the configuration and the secret, and whose they are."""
        files = f"{CONFIG} /var/lib/giftless/state/secret"
        return self.machine.shell(f"sha256sum {files} && stat -c '%n %U:%G %a' {files}")


class LifeTests(DebianTestCase):
    """From the installation to the purge, in one go: each step costs seconds."""

    def test_a_package_lives(self) -> None:
        before = self.machine.files()
        self.install()
        self.upgrade_while_an_object_comes()
        self.configure_again()
        self.go_back()
        self.remove_and_purge(before)

    def install(self) -> None:
        """It serves at once; git pushes and clones when the configuration lets it."""
        self.dpkg(self.first)
        self.assertEqual(self.status(), "workers: 1 serving")
        self.assertEqual(self.machine.run("stat", "-c", "%U:%G %a", CONFIG), "root:giftless 640\n")
        self.assertIn("0 failed, 0 warnings", self.machine.run(*CHECK))
        self.machine.shell(f"{OPEN} && systemctl reload giftless.service")
        git = Git(self.directory / "home", self.machine.in_network())
        self.repo = git.create(
            self.directory / "rocket", "http://127.0.0.1:8080/acme/rocket.git/info/lfs"
        )
        self.assert_round_trip(self.repo, {"data.bin": os.urandom(300_000)})

    def upgrade_while_an_object_comes(self) -> None:
        """The daemon goes on with the new version, and cuts nothing off; all is kept."""
        kept = self.digests()
        daemon = self.main_pid()
        (self.machine.shared / "slow.py").write_text(SLOW)
        self.machine.shell("setsid python3 /mnt/slow.py >/mnt/slow.log 2>&1 &")
        wait_until((self.machine.shared / "begun").exists, "an upload to begin")
        newer = self.machine.shared / "newer.deb"
        with_version(self.first, "99.0-1", newer)
        self.assertIn("transfers that run end in the old one", self.dpkg(newer))
        self.assertEqual(self.status(), "workers: 1 serving, 1 leaving")
        (self.machine.shared / "go").touch()
        wait_until((self.machine.shared / "status").exists, "the upload to end")
        self.assertEqual((self.machine.shared / "status").read_text(), "200")
        wait_until(lambda: self.status() == "workers: 1 serving", "the old worker to end")
        self.assertEqual(self.main_pid(), daemon)
        self.assertEqual(self.digests(), kept)

    def configure_again(self) -> None:
        """A postinst that is run again changes nothing, and says what cannot be loaded."""
        postinst = "/var/lib/dpkg/info/giftless.postinst configure"
        kept, listed, daemon = self.digests(), self.of_system(), self.main_pid()
        self.machine.shell(f"{postinst} 99.0-1")
        printed = self.machine.shell(
            f"cp -p {CONFIG} /tmp/kept; echo 'wokers: 2' >>{CONFIG}; {postinst} 99.0-1"
        )
        self.assertIn("the old version still serves", printed)
        self.assertIn("wokers", printed)
        self.assertEqual(self.main_pid(), daemon)
        self.machine.shell(f"cp -p /tmp/kept {CONFIG}; {postinst} 0.0.1-1")
        self.assertNotEqual(self.main_pid(), daemon, "a parent that is too old goes on")
        self.assertEqual(self.digests(), kept)
        self.assertEqual(self.of_system(), listed)

    def of_system(self) -> set[str]:
        """List all files but the daemon's own."""
        return {path for path in self.machine.files() if not path.startswith("/var/lib/giftless")}

    def go_back(self) -> None:
        """An older version can be put in its place."""
        kept = self.digests()
        self.dpkg(self.first)
        self.assertEqual(self.digests(), kept)
        clone = self.repo.clone(self.directory / "again")
        self.assertEqual(clone.read("data.bin"), self.repo.read("data.bin"))

    def remove_and_purge(self, before: set[str]) -> None:
        """Objects stay, and what is mounted; nothing else does."""
        self.machine.run("dpkg", "--remove", "giftless")
        self.assertEqual(
            self.machine.try_run("systemctl", "is-active", "giftless").stdout, "inactive\n"
        )
        self.machine.shell(f"test -e {CONFIG} && ! test -e /opt/giftless")
        disk = "/var/lib/giftless/state/disk"
        self.machine.shell(f"mkdir {disk} && mount -t tmpfs tmpfs {disk} && echo kept >{disk}/file")
        printed = self.machine.run("dpkg", "--purge", "giftless")
        self.assertIn("objects are left in /var/lib/giftless", printed)
        self.assertEqual(self.machine.run("cat", f"{disk}/file"), "kept\n")
        self.machine.shell(f"umount {disk} && rm -r /var/lib/giftless/state")
        after = self.machine.files()
        self.assertEqual(before - after, set())
        left = {path for path in after - before if not path.startswith(OBJECTS)}
        self.assertEqual({path for path in left if not path.startswith(NOT_OURS)}, set())
        self.assertEqual(len([path for path in after if re.search(r"/[0-9a-f]{64}$", path)]), 2)


class SurroundingsTests(DebianTestCase):
    """What may be on a machine before the package comes."""

    def setUp(self) -> None:
        if not rounds(False, True):
            raise SkipTest("make soak starts another machine")
        super().setUp()

    def test_it_takes_things_as_they_are(self) -> None:
        self.refuse_to_mix()
        self.machine.shell(
            "useradd --system --gid users --home-dir /srv/home giftless;"
            "mkdir -p /etc/giftless /srv/lfs; chown giftless: /srv/lfs;"
            f"echo 'storage: {{type: local, path: /srv/lfs}}\n"
            f"state_dir: /var/lib/giftless/state\n"
            f'endpoints: ["tcp:8080:interface=127.0.0.1"]\n'
            f"auth: [{{type: anonymous, access: read-write}}]' >{CONFIG};"
            "mkdir -p /etc/systemd/system/giftless.service.d;"
            "printf '[Service]\\nReadWritePaths=/srv/lfs\\n'"
            " >/etc/systemd/system/giftless.service.d/disk.conf;"
            "setsid python3 -m http.server --bind 127.0.0.1 8080 >/dev/null 2>&1 &"
            "echo $! >/mnt/pid"
        )
        kept = self.machine.run("sha256sum", CONFIG)
        self.assertIn("it does not start yet", self.dpkg(self.first))
        self.assertEqual(self.state(), "installed")
        self.machine.shell("kill $(cat /mnt/pid)")
        wait_until(lambda: self.status() == "workers: 1 serving", "the port to be free")
        self.assertEqual(self.machine.run("sha256sum", CONFIG), kept)
        self.assertIn(":/srv/home:", self.machine.run("getent", "passwd", "giftless"))
        self.assertEqual(self.machine.run("id", "-Gn", "giftless").split(), ["users", "giftless"])
        self.machine.run("python3", "-c", SLOW.replace("while not", "while 0 and not"))
        self.machine.run("dpkg", "--purge", "giftless")
        stored = self.machine.run("find", "/srv/lfs", "-type", "f", "-size", "+1M")
        self.assertEqual(len(stored.split()), 1)
        self.machine.shell("! test -e /etc/giftless && ! test -e /var/lib/giftless")

    def refuse_to_mix(self) -> None:
        """An installation by hand is left alone, and nothing is half installed."""
        self.machine.shell("mkdir -p /opt/giftless/bin && touch /opt/giftless/bin/mine")
        refused = self.machine.try_run("dpkg", "-i", f"/mnt/{self.first.name}")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("/opt/giftless was installed by hand", refused.stdout)
        self.assertEqual(self.machine.run("ls", "/opt/giftless/bin"), "mine\n")
        self.assertEqual(self.state(), "not-installed")
        self.machine.run("mv", "/opt/giftless", "/opt/giftless.old")
