"""Locks in sessions, as git-lfs reads them."""

from __future__ import annotations

from typing import Any

from giftless.interfaces import LockCreated, LockForced, LockReleased
from tests.ssh.client import Line, Reply
from tests.ssh.support import SSHTestCase


def fields(reply: Reply) -> dict[str, str]:
    """Return the arguments of a reply."""
    return dict(argument.split("=", 1) for argument in reply.arguments)


def listed(reply: Reply) -> list[dict[str, str]]:
    """Return the locks of a list, read as strictly as git-lfs does."""
    locks: list[dict[str, str]] = []
    for line in reply.texts:
        words = line.split(" ", 2)
        if words[0] == "lock":
            assert len(words) == 2, line
            locks.append({"id": words[1]})
        else:
            assert len(words) == 3 and locks[-1]["id"] == words[1], line
            locks[-1][words[0]] = words[2]
    for lock in locks:
        assert {"path", "ownername", "locked-at"} <= set(lock), lock
    return locks


class LockTests(SSHTestCase):
    async def in_session(self, client: Any, operation: str = "upload", user: str = "will") -> Any:
        """Run a client in a session."""
        return await self.session(lambda line: client(line.open(operation, user=user)))

    async def test_a_lock_is_made_and_removed_by_its_owner(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            made = line.command("lock", ["path=a b/ü.psd", "refname=refs/heads/main"])
            self.assertEqual((made.status, made.lines), (201, None))
            self.assertEqual(set(fields(made)), {"id", "path", "locked-at", "ownername"})
            self.assertEqual(
                (fields(made)["path"], fields(made)["ownername"]), ("a b/ü.psd", "will")
            )
            # The short name of a ref, as git-lfs sends it here.
            gone = line.command(f"unlock {fields(made)['id']}", ["refname=main"])
            self.assertEqual((gone.status, gone.lines, fields(gone)), (200, None, fields(made)))
            again = line.command(f"unlock {fields(made)['id']}")
            self.assertEqual((again.status, len(again.texts)), (404, 1))

        await self.in_session(session)
        kinds = [type(event) for event in self.recorder.seen]
        self.assertEqual(kinds[:2], [LockCreated, LockReleased])

    async def test_a_path_that_is_locked_is_told_with_its_lock(self) -> None:
        """git-lfs reads a 409 without words, or without the lock, as something else."""
        await self.serve()
        made = await self.in_session(lambda line: line.command("lock", ["path=a"]))
        for user in ("wanda", "will"):
            refused = await self.in_session(
                lambda line: line.command("lock", ["path=a"]), user=user
            )
            self.assertEqual((refused.status, fields(refused)), (409, fields(made)))
            self.assertIn("a is locked by will", refused.texts[0])

    async def test_each_refused_lock_has_words(self) -> None:
        """git-lfs crashes on one without."""
        await self.serve()

        def session(line: Line) -> None:
            for path in ("", "/a", "../a", "a\tb"):
                refused = line.command("lock", [f"path={path}"])
                self.assertEqual((refused.status, len(refused.texts)), (400, 1), path)
            self.assertTrue(line.command("lock").texts[0])

        await self.in_session(session)

    async def test_a_list_says_whose_locks_are(self) -> None:
        await self.serve()
        for user, path in (("will", "ours"), ("wanda", "theirs")):
            await self.in_session(
                lambda line, path=path: line.command("lock", [f"path={path}"]), user=user
            )
        for operation in ("upload", "download"):
            for command in ("list-lock", "list-locks"):
                reply = await self.in_session(
                    lambda line, command=command: line.command(command, ["refname=refs/heads/x"]),
                    operation,
                )
                locks = {lock["path"]: lock["owner"] for lock in listed(reply)}
                self.assertEqual(locks, {"ours": "ours", "theirs": "theirs"})

    async def test_who_may_read_may_list(self) -> None:
        await self.serve()
        await self.in_session(lambda line: line.command("lock", ["path=a"]))
        reply = await self.in_session(lambda line: line.command("list-lock"), "download", "rita")
        (lock,) = listed(reply)
        self.assertEqual((lock["path"], lock["owner"]), ("a", "theirs"))

    async def test_a_list_is_narrowed_by_path_and_id(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            made = [line.command("lock", [f"path={path}"]) for path in ("a", "b")]
            (lock,) = listed(line.command("list-lock", ["path=b", "limit=0", "cursor="]))
            self.assertEqual((lock["id"], lock["owner"]), (fields(made[1])["id"], "ours"))
            (lock,) = listed(line.command("list-lock", [f"id={lock['id']}", "refspec=main"]))
            self.assertEqual(lock["path"], "b")

        await self.in_session(session)

    async def test_what_is_not_locked_is_an_empty_list(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            for arguments in (["path=a"], ["id=x"], [], ["path=\x7f", "id=a b"]):
                reply = line.command("list-lock", arguments)
                self.assertEqual((reply.status, reply.arguments, reply.lines), (200, [], []))

        await self.in_session(session)

    async def test_a_list_goes_on_where_its_page_ended(self) -> None:
        await self.serve()

        def session(line: Line) -> None:
            paths = {f"file {number}" for number in range(5)}
            for path in paths:
                self.assertEqual(line.command("lock", [f"path={path}"]).status, 201)
            cursor, found = "", set()
            for _ in range(3):
                reply = line.command("list-lock", ["limit=2", f"cursor={cursor}"])
                found |= {lock["path"] for lock in listed(reply)}
                cursor = fields(reply).get("next-cursor", "")
            self.assertEqual((found, cursor), (paths, ""))
            self.assertEqual(line.command("list-lock", ["limit=many"]).status, 400)

        await self.in_session(session)

    async def test_locks_of_others_stay_unless_an_administrator_removes_them(self) -> None:
        """git-lfs never says over SSH whether its user wants force."""
        await self.serve()
        made = await self.in_session(lambda line: line.command("lock", ["path=a"]))
        unlock = f"unlock {fields(made)['id']}"
        refused = await self.in_session(lambda line: line.command(unlock), user="wanda")
        self.assertEqual(refused.status, 403)
        self.assertIn("you do not hold", refused.texts[0])
        gone = await self.in_session(lambda line: line.command(unlock), user="ada")
        self.assertEqual((gone.status, fields(gone)), (200, fields(made)))
        (event,) = self.recorder.of(LockForced)
        self.assertEqual((event.who, event.address), ("ada", "198.51.100.7"))

    async def test_force_counts_if_it_is_sent(self) -> None:
        await self.serve()
        made = await self.in_session(lambda line: line.command("lock", ["path=a"]))
        unlock = f"unlock {fields(made)['id']}"

        def session(line: Line) -> None:
            self.assertEqual(line.command(unlock, ["force=false"]).status, 403)
            self.assertEqual(line.command(unlock, ["force=true"]).status, 200)

        await self.in_session(session, user="wanda")

    async def test_a_server_without_locks_says_so(self) -> None:
        await self.serve(locking=False)

        def session(line: Line) -> None:
            line.admit("git-lfs-transfer org/repo upload")
            self.assertEqual(line.texts(), ["version=1"])
            for command in ("lock", "list-lock", "unlock 4f"):
                refused = line.command(command, ["path=a"])
                self.assertEqual((refused.status, len(refused.texts)), (404, 1))

        await self.session(session)
