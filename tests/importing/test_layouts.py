"""How the directories of other servers are laid out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.importing.layouts import LAYOUTS, Layout, Walk, detect
from giftless.importing.offers import NoSource
from giftless.lfs.objects import Oid, Repo
from tests.support.making import oid_of, repo_of

DATA = b"an object of another server"
OID = oid_of(DATA)
PAIRS = f"{OID[:2]}/{OID[2:4]}"

#: Where each server keeps the object of ``acme/rocket``, and the repository that tells.
PLACES = {
    "gitea": (f"{PAIRS}/{OID[4:]}", None),
    "git-lfs": (f"{PAIRS}/{OID}", None),
    "lfsx": (f"acme/rocket/{PAIRS}/{OID}", repo_of("acme/rocket")),
    "rudolfs": (f"objects/acme/rocket/{PAIRS}/{OID}", repo_of("acme/rocket")),
    "giftless": (f"acme/group/rocket/{OID}", repo_of("acme/group/rocket")),
}


class DirectoryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp()).resolve()
        self.root.mkdir()

    def put(self, place: str, data: bytes = DATA) -> Path:
        """Write a file below the root."""
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def walk(self, layout: str) -> Walk:
        """Return what finds the objects."""
        return Walk(str(self.root), LAYOUTS[layout])


class DetectionTests(DirectoryTestCase):
    def test_each_layout_is_found_out_by_its_first_object(self) -> None:
        for name, (place, _) in PLACES.items():
            path = self.put(place)
            self.assertIs(detect(str(self.root)), LAYOUTS[name], name)
            path.unlink()

    def test_what_is_no_object_is_passed_over(self) -> None:
        self.put("README")
        self.put(f"00/00/{'0' * 59}x")
        self.put(PLACES["gitea"][0])
        self.assertIs(detect(str(self.root)), LAYOUTS["gitea"])

    def test_what_lfsx_shares_decides_nothing(self) -> None:
        self.put(f".content/{PAIRS}/{OID}")
        self.put(PLACES["lfsx"][0])
        self.assertIs(detect(str(self.root)), LAYOUTS["lfsx"])

    def test_a_directory_without_objects_has_no_layout(self) -> None:
        self.put("README")
        with self.assertRaises(NoSource) as caught:
            detect(str(self.root))
        self.assertIn("--layout", str(caught.exception))

    def test_a_directory_must_be_there(self) -> None:
        with self.assertRaises(NoSource) as caught:
            detect(str(self.root / "nowhere"))
        self.assertIn("No such file", str(caught.exception))


class WalkTests(DirectoryTestCase):
    def test_objects_are_found_with_their_repositories_and_sizes(self) -> None:
        for name, (place, repo) in PLACES.items():
            path = self.put(place)
            found = list(self.walk(name).objects())
            self.assertEqual(found, [(repo, OID, len(DATA), place)], name)
            path.unlink()

    def test_other_files_are_counted(self) -> None:
        self.put(PLACES["gitea"][0])
        self.put(f"{PLACES['gitea'][0]}.tmp")
        self.put(f"{PAIRS}/README")
        walk = self.walk("gitea")
        self.assertEqual(len(list(walk.objects())), 1)
        self.assertEqual(walk.strays, 2)

    def test_what_servers_keep_beside_objects_is_passed_over(self) -> None:
        for place in (f".content/{PAIRS}/{OID}", ".locks/acme/rocket/1.json"):
            self.put(place)
        self.put(PLACES["lfsx"][0])
        walk = self.walk("lfsx")
        self.assertEqual([place for *_, place in walk.objects()], [PLACES["lfsx"][0]])
        self.assertEqual(walk.strays, 0)

    def test_temporary_directories_of_gitlab_are_passed_over(self) -> None:
        self.put("tmp/uploads/1/abc")
        self.put("cache/xyz")
        self.put(PLACES["gitea"][0])
        walk = self.walk("gitlab")
        self.assertEqual(len(list(walk.objects())), 1)
        self.assertEqual(walk.strays, 0)

    def test_links_are_no_objects(self) -> None:
        outside = self.put("outside")
        link = self.root / PLACES["git-lfs"][0]
        link.parent.mkdir(parents=True)
        link.symlink_to(outside)
        os.symlink("..", self.root / "ff")
        walk = self.walk("git-lfs")
        self.assertEqual(list(walk.objects()), [])
        self.assertEqual(walk.strays, 3)

    def test_a_directory_that_cannot_be_read_is_told_of(self) -> None:
        broken = self.put(PLACES["gitea"][0]).parent
        whole = self.put(f"ff/ff/{'0' * 60}", b"")
        scandir = os.scandir

        def fail(path: str) -> object:
            if path == str(broken):
                raise PermissionError(errno.EACCES, "Permission denied")
            return scandir(path)

        # Root reads everything.
        self.patch(os, "scandir", fail)
        walk = self.walk("gitea")
        self.assertEqual(
            [place for *_, place in walk.objects()], [str(whole.relative_to(self.root))]
        )
        self.assertEqual(walk.problems, [f"{broken} cannot be read: Permission denied"])

    def test_objects_come_ordered_by_path(self) -> None:
        for number in range(20):
            data = b"%d" % number
            self.put(f"acme/{number % 3}/{oid_of(data)}", data)
        places = [place for *_, place in self.walk("giftless").objects()]
        self.assertEqual(len(places), 20)
        self.assertEqual(places, sorted(places))


class LayoutTests(SynchronousTestCase):
    @given(st.binary(min_size=32, max_size=32), st.sampled_from(["rest", "whole", "flat"]))
    def test_a_place_in_a_pool_is_read_back(self, digest: bytes, form: str) -> None:
        layout, oid = Layout(form), Oid(digest.hex())  # type: ignore[arg-type]
        self.assertEqual(layout.read(layout.place(oid).split("/")), (None, oid))

    @given(st.lists(st.text(max_size=70), min_size=1, max_size=5))
    def test_any_path_is_an_object_or_none(self, segments: list[str]) -> None:
        for layout in LAYOUTS.values():
            found = layout.read(segments)
            if found is not None:
                self.assertRegex(found[1], "^[0-9a-f]{64}$")

    def test_a_repository_is_called_as_its_directory(self) -> None:
        layout = LAYOUTS["giftless"]
        self.assertEqual(layout.read(["a", "b.git", OID]), (Repo(("a", "b.git")), OID))

    def test_names_that_no_repository_has_are_no_objects(self) -> None:
        self.assertIsNone(LAYOUTS["giftless"].read(["-", OID]))
        self.assertIsNone(LAYOUTS["lfsx"].read([".giftless", "x", OID[:2], OID[2:4], OID]))

    def test_pairs_must_be_those_of_the_oid(self) -> None:
        self.assertIsNone(LAYOUTS["git-lfs"].read(["00", "11", OID]))
        self.assertIsNone(LAYOUTS["gitea"].read([OID[:2], "x", OID[4:]]))
