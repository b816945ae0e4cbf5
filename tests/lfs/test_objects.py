"""Repositories, oids and keys: what cannot be made cannot reach storage."""

from __future__ import annotations

import os
import unicodedata
from urllib.parse import unquote

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import BadRequest
from giftless.lfs.objects import (
    MAX_PATH_BYTES,
    MAX_SEGMENT_BYTES,
    MAX_SEGMENTS,
    Action,
    ObjectKey,
    Oid,
    Operation,
    Permission,
    Repo,
    in_trash,
    owner_of,
)
from giftless.storage.local.disks import Disks
from tests.support.making import key_of, oid_of
from tests.support.strategies import repos

#: Text that is likely to be trouble in a path.
_nasty = st.one_of(
    st.text(),
    st.text(alphabet="./\\%0\x00\x7f\n a.git"),
    st.sampled_from(
        ["", ".", "..", ".git", "..git", "...git", "../x", "a/..", "\x00", ".giftless", "-rf", "-"]
    ),
)


class OidTests(SynchronousTestCase):
    def test_a_sha256_is_an_oid(self) -> None:
        text = oid_of(b"x")
        self.assertEqual(Oid.parse(str(text)), text)

    def test_anything_else_is_refused(self) -> None:
        good = str(oid_of(b"x"))
        for text in (
            "",
            "abcdef0",
            good[:-1],
            good + "0",
            "a" * 96,
            "g" * 64,
            good.upper().replace("0", "A"),
            good + "\n",
            "\n" + good[1:],
            "\u0660" * 64,  # digits, but not ASCII
            "../" + "a" * 61,
            f"{good[:32]}/{good[33:]}",
        ):
            self.assertRaises(BadRequest, Oid.parse, text)

    @given(st.one_of(st.text(max_size=70), st.text(alphabet="0123456789abcdefABC/.", max_size=66)))
    def test_an_accepted_oid_is_64_lower_case_hexadecimal_digits(self, text: str) -> None:
        try:
            oid = Oid.parse(text)
        except BadRequest:
            assume(not (len(text) == 64 and set(text) <= set("0123456789abcdef")))
        else:
            self.assertEqual(oid, text)
            self.assertEqual(len(oid), 64)
            self.assertLessEqual(set(oid), set("0123456789abcdef"))


class KeyTests(SynchronousTestCase):
    """A key can be told from its path, and nothing else can be taken for one."""

    @given(repos)
    def test_a_path_leads_back_to_its_key(self, repo: Repo) -> None:
        key = ObjectKey(repo, oid_of(b"x"))
        self.assertEqual(ObjectKey.of_path(key.path), key)

    def test_a_repository_whose_name_ends_with_dot_git_has_its_own_path(self) -> None:
        key = ObjectKey(Repo.parse(["org", "repo.git.git"]), oid_of(b"x"))
        self.assertEqual(key.path, f"org/repo.git/{oid_of(b'x')}")
        self.assertEqual(ObjectKey.of_path(key.path), key)

    @given(repos)
    def test_a_path_in_the_trash_leads_back_to_its_key_and_its_owner(self, repo: Repo) -> None:
        key = in_trash(ObjectKey(repo, oid_of(b"x")))
        self.assertEqual(ObjectKey.of_path(key.path, trash=True), key)
        self.assertEqual(owner_of(key.repo), repo)
        # Neither is taken for the other.
        self.assertIsNone(ObjectKey.of_path(key.path))
        self.assertIsNone(ObjectKey.of_path(ObjectKey(repo, key.oid).path, trash=True))
        self.assertIsNone(owner_of(repo))

    @given(
        st.one_of(
            _nasty,
            st.lists(
                _nasty | st.sampled_from((str(oid_of(b"x")), "org", ".giftless", "trash"))
            ).map("/".join),
        )
    )
    def test_a_path_is_the_one_of_its_key_or_of_none(self, path: str) -> None:
        for trash in (False, True):
            key = ObjectKey.of_path(path, trash)
            self.assertIn(key and key.path, (None, path))

    def test_other_paths_are_no_keys(self) -> None:
        oid = oid_of(b"x")
        for path in (
            "",
            "/",
            oid,
            f"/{oid}",
            f"org//{oid}",
            f"org/../{oid}",
            f"/org/repo/{oid}",
            f"org/repo/{oid}/",
            f"org/repo/{oid.upper()}",
            f"org/repo/{oid[1:]}",
            f"org/repo/{oid}\n",
            f"org/{oid}/{oid}",
            f".giftless/{oid}",
            f"-/repo/{oid}",
            f"org/\ud800/{oid}",
        ):
            self.assertIsNone(ObjectKey.of_path(path), path)
            self.assertIsNone(ObjectKey.of_path(path, trash=True), path)
        for path in (
            f".giftless/trash/{oid}",
            f"org/.giftless/{oid}",
            f"org/.giftless/other/{oid}",
            f"org/.giftless/trash/.giftless/{oid}",
            f"org/repo/.giftless/trash/{oid}",
            f"-/.giftless/trash/{oid}",
            f"org/.giftless/trash/../{oid}",
            f"org/.giftless/trash//{oid}",
        ):
            self.assertIsNone(ObjectKey.of_path(path, trash=True), path)


class RepoTests(SynchronousTestCase):
    def test_a_path_may_have_groups(self) -> None:
        repo = Repo.parse(["org", "group", "sub", "repo"])
        self.assertEqual(repo.path, "org/group/sub/repo")
        self.assertEqual(str(repo), repo.path)

    def test_dot_git_at_the_end_makes_no_difference(self) -> None:
        """Both URL forms name one repository."""
        self.assertEqual(Repo.parse(["org", "repo.git"]), Repo.parse(["org", "repo"]))

    def test_dot_git_elsewhere_stays(self) -> None:
        self.assertEqual(Repo.parse(["org.git", "repo"]).path, "org.git/repo")

    def test_only_one_dot_git_is_dropped(self) -> None:
        self.assertEqual(Repo.parse(["repo.git.git"]).path, "repo.git")

    def test_names_may_be_in_any_script(self) -> None:
        self.assertEqual(Repo.parse(["Büro", "数据", "a b+c~"]).path, "Büro/数据/a b+c~")

    def test_what_leads_elsewhere_is_refused(self) -> None:
        for segments in (
            [],
            [""],
            ["org", ""],
            ["", "repo"],
            ["."],
            [".."],
            ["org", "..", "repo"],
            ["..", "..", "etc"],
            [".git"],
            ["org", "..git"],  # '.' once '.git' is dropped
            ["org", "...git"],  # '..' likewise
            ["a/b"],
            ["org/../..", "repo"],
        ):
            self.assertRaises(BadRequest, Repo.parse, segments)

    def test_control_characters_are_refused(self) -> None:
        for encoded in ("%00", "a%00b", "a%0Ab", "%0D", "%7F", "%C2%85", "a%1B[31m"):
            self.assertRaises(BadRequest, Repo.parse, ["org", unquote(encoded)])

    def test_half_a_surrogate_pair_is_refused(self) -> None:
        """It could not be encoded for the file system."""
        self.assertRaises(BadRequest, Repo.parse, ["org", "a\ud800"])

    def test_the_servers_own_names_are_refused(self) -> None:
        for segments in ([".giftless", "tmp"], ["org", ".giftless"], [".giftless-x"]):
            error = self.assertRaises(BadRequest, Repo.parse, segments)
            self.assertIn("reserved", error.message)

    def test_a_path_below_the_servers_pages_is_refused(self) -> None:
        for segments in (["-"], ["-.git"], ["-", "locks"], ["-", "org", "repo"]):
            error = self.assertRaises(BadRequest, Repo.parse, segments)
            self.assertIn("begins with -/", error.message)
        for segments in (["org", "-"], ["--"], ["-x", "-"], ["-.git.git"]):
            Repo.parse(segments)

    def test_a_segment_that_looks_like_an_oid_is_refused(self) -> None:
        """A directory of that name would lie where an object belongs."""
        self.assertRaises(BadRequest, Repo.parse, ["org", oid_of(b"x")])
        self.assertRaises(BadRequest, Repo.parse, ["org", oid_of(b"x") + ".git"])

    def test_a_segments_length_is_bounded_in_bytes(self) -> None:
        Repo.parse(["a" * MAX_SEGMENT_BYTES])
        self.assertRaises(BadRequest, Repo.parse, ["a" * (MAX_SEGMENT_BYTES + 1)])
        self.assertRaises(BadRequest, Repo.parse, ["ä" * (MAX_SEGMENT_BYTES // 2 + 1)])

    def test_the_number_of_segments_is_bounded(self) -> None:
        Repo.parse(["a"] * MAX_SEGMENTS)
        self.assertRaises(BadRequest, Repo.parse, ["a"] * (MAX_SEGMENTS + 1))

    def test_the_whole_paths_length_is_bounded_in_bytes(self) -> None:
        """A longer one could not be stored below any directory (PATH_MAX)."""
        segments = ["a" * 127] * (MAX_PATH_BYTES // 128)
        Repo.parse(segments)
        self.assertRaises(BadRequest, Repo.parse, [*segments[:-1], "a" * 129])

    @given(st.lists(_nasty, max_size=5))
    def test_an_accepted_repository_is_made_of_plain_names(self, segments: list[str]) -> None:
        try:
            repo = Repo.parse(segments)
        except BadRequest:
            return
        self.assertTrue(repo.segments)
        self.assertEqual(tuple(repo.path.split("/")), repo.segments)
        for name in repo.segments:
            self.assertNotIn(name, ("", ".", ".."))
            self.assertFalse([c for c in name if unicodedata.category(c) == "Cc"])
            self.assertFalse(name.startswith(".giftless"))
            name.encode()
        self.assertNotEqual(repo.segments[0], "-")

    @given(st.lists(_nasty, max_size=5), st.sampled_from(["", "team", "a/b"]))
    def test_every_accepted_key_lies_below_the_stores_root(
        self, segments: list[str], prefix: str
    ) -> None:
        try:
            repo = Repo.parse(segments)
        except BadRequest:
            return
        root = os.path.join(b"/srv/lfs", prefix.encode()) if prefix else b"/srv/lfs"
        disks = Disks(b"/srv/lfs", prefix.encode(), None)
        path = os.path.join(b"/srv/lfs", disks.path(ObjectKey(repo, oid_of(b"x"))))
        self.assertEqual(os.path.normpath(path), path)
        self.assertEqual(os.path.commonpath([path, root]), root)
        self.assertNotIn(b"\x00", path)
        # The server's own files cannot be reached either.
        self.assertNotIn(b"/.giftless", path)

    @given(st.lists(_nasty, max_size=4), st.lists(_nasty, max_size=4))
    def test_different_repositories_never_share_an_objects_place(
        self, first: list[str], second: list[str]
    ) -> None:
        try:
            one, other = Repo.parse(first), Repo.parse(second)
        except BadRequest:
            return
        assume(one != other)
        oid = oid_of(b"x")
        self.assertNotEqual(ObjectKey(one, oid).path, ObjectKey(other, oid).path)


class ValueTests(SynchronousTestCase):
    def test_a_keys_path_is_the_repositorys_and_the_oid(self) -> None:
        self.assertEqual(key_of(b"x", "a/b/c").path, f"a/b/c/{oid_of(b'x')}")

    def test_an_operation_knows_its_permission(self) -> None:
        self.assertIs(Operation.UPLOAD.permission, Permission.WRITE)
        self.assertIs(Operation.DOWNLOAD.permission, Permission.READ)

    def test_values_cannot_be_changed(self) -> None:
        key = key_of(b"x")
        self.assertRaises(AttributeError, setattr, key, "oid", oid_of(b"y"))
        self.assertRaises(AttributeError, setattr, key.repo, "segments", ("x",))
        self.assertRaises(AttributeError, setattr, Action("https://x"), "href", "https://y")
