"""Clones: the server that they use, what they have and what they need."""

from __future__ import annotations

import re
from pathlib import Path

from giftless.client.clone import Clone
from giftless.client.endpoints import SSHRemote, endpoint_of, endpoint_of_remote
from giftless.client.errors import ServerError
from giftless.references.git import Git
from giftless.references.pointers import Pointer, pointers
from tests.client.support import ClientTestCase, oid_of

DATA = b"rocket"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid_of(DATA)}\nsize 6\n"


class CloneTestCase(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.repo = self.home / "repo"
        self.git("init", "--quiet", str(self.repo))
        self.git("remote", "add", "origin", "https://git.example/acme/rocket.git", cwd=self.repo)

    def config(self, name: str, value: str) -> None:
        """Set something in the clone's configuration."""
        self.git("config", name, value, cwd=self.repo)

    def commit(self, name: str, content: str) -> None:
        """Commit a file."""
        (self.repo / name).write_text(content)
        self.git("add", name, cwd=self.repo)
        self.git("commit", "--quiet", "-m", "Add it", cwd=self.repo)


class EndpointTests(CloneTestCase):
    def endpoints(self) -> tuple[str, str]:
        """Return where it pushes to and where it fetches from, which git-lfs agrees with."""
        clone = Clone(self.repo)
        found = clone.endpoint("upload"), clone.endpoint("download")
        told = self.git("lfs", "env", cwd=self.repo)
        # git-lfs lists all remotes, in any order, if the usual one is not origin.
        lines = re.findall(r"^Endpoint(=| .*?=)(\S+)", told, re.MULTILINE)
        expected = [url for name, url in lines if name == "="] or [url for _, url in lines]
        self.assertIn(found[1].url, expected, told)
        return found[0].url, found[1].url

    def test_the_remote_is_the_last_resort(self) -> None:
        url = "https://git.example/acme/rocket.git/info/lfs"
        self.assertEqual(self.endpoints(), (url, url))
        self.config("remote.origin.url", "https://git.example/acme/rocket")
        self.assertEqual(self.endpoints(), (url, url))

    def test_settings_come_in_the_order_of_git_lfs(self) -> None:
        self.config("remote.origin.pushurl", "https://push.example/r.git")
        self.assertEqual(self.endpoints()[0], "https://push.example/r.git/info/lfs")
        self.config("remote.origin.lfsurl", "https://lfs.example/remote")
        self.assertEqual(self.endpoints(), ("https://lfs.example/remote",) * 2)
        self.config("remote.origin.lfspushurl", "https://lfs.example/remote-push")
        self.assertEqual(self.endpoints()[0], "https://lfs.example/remote-push")
        self.config("lfs.url", "https://lfs.example/all")
        self.assertEqual(self.endpoints(), ("https://lfs.example/all",) * 2)
        self.config("lfs.pushurl", "https://lfs.example/all-push")
        self.assertEqual(self.endpoints()[0], "https://lfs.example/all-push")

    def test_lfsconfig_is_read_and_comes_behind_the_configuration(self) -> None:
        self.commit(".lfsconfig", "[lfs]\n\turl = https://lfs.example/committed\n")
        self.assertEqual(self.endpoints()[1], "https://lfs.example/committed")
        self.assertIn(".lfsconfig", Clone(self.repo).endpoint("download").source)
        (self.repo / ".lfsconfig").unlink()
        self.assertEqual(self.endpoints()[1], "https://lfs.example/committed")
        self.config("lfs.url", "https://lfs.example/own")
        self.assertEqual(self.endpoints()[1], "https://lfs.example/own")

    def test_lfsconfig_cannot_set_what_is_not_safe(self) -> None:
        self.commit(".lfsconfig", '[remote]\n\tpushdefault = evil\n[remote "origin"]\n\turl = x\n')
        self.assertEqual(self.endpoints()[1], "https://git.example/acme/rocket.git/info/lfs")

    def test_urls_are_rewritten(self) -> None:
        self.config("url.https://mirror.example/.insteadOf", "https://git.example/")
        self.assertEqual(self.endpoints()[1], "https://mirror.example/acme/rocket.git/info/lfs")

    def test_the_remote_of_the_branch_counts(self) -> None:
        self.git("remote", "add", "other", "https://other.example/r.git", cwd=self.repo)
        self.assertEqual(self.endpoints()[1], "https://git.example/acme/rocket.git/info/lfs")
        self.config("branch.main.remote", "other")
        self.commit("a", "a")
        self.assertEqual(self.endpoints()[1], "https://other.example/r.git/info/lfs")
        found = Clone(self.repo).endpoint("download", "origin")
        self.assertEqual(found.url, "https://git.example/acme/rocket.git/info/lfs")

    def test_a_clone_without_a_server_is_told(self) -> None:
        self.config("remote.origin.url", str(self.home / "bare.git"))
        error = self.assertRaises(ServerError, Clone(self.repo).endpoint, "upload")
        self.assertIn("is no server", error.problem)
        self.git("remote", "remove", "origin", cwd=self.repo)
        error = self.assertRaises(ServerError, Clone(self.repo).endpoint, "upload")
        self.assertIn("no setting names its LFS server", error.problem)

    def test_a_folder_without_a_repository_is_told(self) -> None:
        error = self.assertRaises(ServerError, Clone, self.home)
        self.assertIn("is in no git repository", error.problem)
        self.assertRaises(ServerError, Clone, self.home / "nowhere")


class URLTests(CloneTestCase):
    def test_remotes_of_ssh_are_understood(self) -> None:
        for url, remote, guess in (
            ("git@h.example:acme/r.git", SSHRemote("git@h.example", None, "acme/r.git"), "acme/r"),
            ("h.example:r", SSHRemote("h.example", None, "r"), "r"),
            ("ssh://git@h.example:22/a/r.git", SSHRemote("git@h.example", 22, "/a/r.git"), "a/r"),
        ):
            found = endpoint_of_remote(url)
            self.assertEqual(found.ssh, remote)
            self.assertEqual(found.url, f"https://h.example/{guess}.git/info/lfs")

    def test_what_could_be_an_option_of_ssh_is_refused(self) -> None:
        for url in ("ssh://-oProxyCommand=x/r", "-oProxyCommand=x:r", "ssh://h:port/r"):
            self.assertRaises(ServerError, endpoint_of_remote, url)

    def test_secrets_are_not_shown(self) -> None:
        found = endpoint_of("https://tess:secret@lfs.example/r?key=secret")
        self.assertNotIn("secret", repr(found) + found.name)


class ObjectTests(CloneTestCase):
    def store(self, folder: Path, data: bytes = DATA) -> Path:
        """Write an object into a storage."""
        oid = oid_of(data)
        path = folder / "objects" / oid[:2] / oid[2:4] / oid
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        return path

    def test_objects_are_found_in_the_storage(self) -> None:
        path = self.store(self.repo / ".git" / "lfs")
        clone = Clone(self.repo)
        self.assertEqual(clone.object_path(oid_of(DATA)), path)
        self.assertEqual(list(clone.stored()), [oid_of(DATA)])
        self.assertIsNone(clone.object_path("0" * 64))

    def test_another_storage_and_other_work_trees_count(self) -> None:
        self.config("lfs.storage", str(self.home / "shared"))
        path = self.store(self.home / "shared")
        self.commit("a", "a")
        self.git("worktree", "add", "--quiet", str(self.home / "tree"), cwd=self.repo)
        self.assertEqual(Clone(self.home / "tree").object_path(oid_of(DATA)), path)

    def test_what_another_repository_lends_is_found(self) -> None:
        path = self.store(self.repo / ".git" / "lfs")
        self.commit("a", "a")
        self.git("clone", "--quiet", "--shared", str(self.repo), str(self.home / "second"))
        self.git("clone", "--quiet", "-s", str(self.home / "second"), str(self.home / "third"))
        self.assertEqual(Clone(self.home / "third").object_path(oid_of(DATA)), path)

    def test_what_refs_lead_to_is_needed_with_its_size(self) -> None:
        self.commit("rocket.bin", POINTER)
        self.git("rm", "--quiet", "rocket.bin", cwd=self.repo)
        self.git("commit", "--quiet", "-m", "Remove it", cwd=self.repo)
        found = list(Clone(self.repo).needed(Git(60)))
        self.assertEqual(found, [Pointer(found[0].oid, 6)])

    def test_shallow_and_partial_clones_are_read_as_far_as_they_go(self) -> None:
        self.commit("rocket.bin", POINTER)
        self.commit("a", "a")
        url = f"file://{self.repo}"
        self.config("uploadpack.allowFilter", "true")
        for name, option in (("shallow", "--depth=1"), ("partial", "--filter=blob:none")):
            folder = self.home / name
            self.git("clone", "--quiet", option, url, str(folder))
            found = {pointer.oid for pointer in Clone(folder).needed(Git(60))}
            self.assertEqual(found, {oid_of(DATA)}, name)


class PointerTests(ClientTestCase):
    def test_sizes_are_read_where_they_are_sure(self) -> None:
        one, other = "a" * 64, "b" * 64
        for blob, expected in (
            (f"version x\noid sha256:{one}\nsize 12\n", [(one, 12)]),
            (f"version x\r\noid sha256:{one}\r\nsize 12\r\n", [(one, 12)]),
            (f"oid sha256:{one}\nsize twelve\n", [(one, None)]),
            (f"oid sha256:{one}\nsize 99999999999999999999\n", [(one, None)]),
            (
                f"oid sha256:{one}\nsize 1\noid sha256:{other}\nsize 2\n",
                [(one, None), (other, None)],
            ),
            (f"ext-0-x sha256:{other}\noid sha256:{one}\nsize 12\n", [(one, 12)]),
            ("nothing", []),
        ):
            found = [(pointer.oid, pointer.size) for pointer in pointers(blob.encode())]
            self.assertEqual(found, expected, blob)
