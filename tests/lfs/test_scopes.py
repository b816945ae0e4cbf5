"""The grammar of scopes, example by example and against a model of it."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from hypothesis import example, given, reject
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import BadRequest
from giftless.lfs.objects import Oid, Permission, Repo
from giftless.lfs.scopes import Scope, parse_scopes, permissions_in
from tests.support.making import oid_of, repo_of

READ, META, WRITE = Permission.READ, Permission.READ_META, Permission.WRITE
ADMIN = Permission.ADMIN
#: What ``*`` stands for.
EVERYTHING = frozenset({READ, META, WRITE})
NOTHING: frozenset[Permission] = frozenset()

ONE, TWO = oid_of(b"one"), oid_of(b"two")

#: Repositories that differ from one another in every way that scopes can tell.
REPOS = ("org", "org/repo", "org/other", "org/repo/sub", "foe/repo", "group/sub/repo", "organ/repo")


def granted(scopes: str | list[str], repo: str, oid: Oid | None) -> frozenset[Permission]:
    """Return what scopes permit on an object, or on a repository as a whole."""
    permissions = permissions_in(parse_scopes(scopes), repo_of(repo))
    return permissions.get(None, NOTHING) | permissions.get(oid, NOTHING)


def covered(scopes: str | list[str]) -> set[str]:
    """Return the repositories, and objects in them, on which scopes permit anything."""
    return {repo for repo in REPOS if granted(scopes, repo, None)} | {
        f"{repo}/{name}"
        for repo in REPOS
        if not granted(scopes, repo, None)
        for name, oid in (("one", ONE), ("two", TWO))
        if granted(scopes, repo, oid)
    }


class PlacesTests(SynchronousTestCase):
    """What the id of a scope covers."""

    def assert_covers(self, scope: str, *expected: str) -> None:
        """Check that ``scope`` covers some of ``REPOS`` or objects in them, and no more."""
        self.assertEqual(covered(scope), set(expected), scope)

    def test_a_star_covers_everything(self) -> None:
        """A star covers everything, and so does leaving the id out."""
        for scope in ("obj", "obj:*", "obj:*:read", "obj:*:*:*", "obj:*/*"):
            self.assert_covers(scope, *REPOS)

    def test_an_organisation_covers_its_repositories(self) -> None:
        """An organisation's name covers all that it has, with and without a star."""
        for scope in ("obj:org", "obj:org:read", "obj:org/*", "obj:org/*:read"):
            self.assert_covers(scope, "org", "org/repo", "org/other", "org/repo/sub")

    def test_below_an_organisation(self) -> None:
        """A star for the repository asks for at least one name."""
        self.assert_covers("obj:org/*/*:read", "org/repo", "org/other", "org/repo/sub")

    def test_a_repository_covers_itself_only(self) -> None:
        """A repository's path covers it and not what has a longer path."""
        self.assert_covers("obj:org/repo:read", "org/repo")
        self.assert_covers("obj:group/sub/repo:read", "group/sub/repo")

    def test_repository_with_all_below(self) -> None:
        """A star behind a path covers it and whatever is below."""
        self.assert_covers("obj:org/repo/*:read", "org/repo", "org/repo/sub")
        self.assert_covers("obj:group/sub/*:read", "group/sub/repo")
        self.assert_covers("obj:group/sub/repo/*:read", "group/sub/repo")

    def test_group_is_no_repository(self) -> None:
        """A group's path without a star names a repository that is not there."""
        self.assert_covers("obj:group/sub:read")

    def test_an_oid_alone_covers_all_repositories(self) -> None:
        """An oid alone covers that object in every repository."""
        for scope in (f"obj:{ONE}:read", f"obj:*/{ONE}:read"):
            self.assert_covers(scope, *(f"{repo}/one" for repo in REPOS))

    def test_object_in_an_organisation(self) -> None:
        """An oid behind an organisation covers that object in all its repositories."""
        for scope in (f"obj:org/{ONE}:read", f"obj:org/*/{ONE}:read"):
            self.assert_covers(
                scope, "org/one", "org/repo/one", "org/other/one", "org/repo/sub/one"
            )

    def test_object_in_a_repository(self) -> None:
        """An oid behind a repository covers that object there."""
        self.assert_covers(f"obj:org/repo/{ONE}:read", "org/repo/one")
        self.assert_covers(f"obj:group/sub/repo/{ONE}:read", "group/sub/repo/one")

    def test_object_below_a_repository(self) -> None:
        """A star between path and oid covers the object in all repositories below."""
        self.assert_covers(f"obj:org/repo/*/{ONE}:read", "org/repo/one", "org/repo/sub/one")

    def test_star_for_one_name(self) -> None:
        """A star in front of a name stands for exactly one name."""
        self.assert_covers("obj:*/repo:read", "org/repo", "foe/repo", "organ/repo")
        self.assert_covers("obj:*/sub/repo:read", "group/sub/repo")
        self.assert_covers("obj:group/*/repo:read", "group/sub/repo")
        self.assert_covers(
            f"obj:*/repo/{ONE}:read", "org/repo/one", "foe/repo/one", "organ/repo/one"
        )

    def test_star_is_no_pattern(self) -> None:
        """A star within a name is an ordinary character."""
        self.assert_covers("obj:org*:read")
        self.assert_covers("obj:org/re*:read")
        self.assertTrue(granted("obj:org/re*:read", "org/re*", None))

    def test_an_oid_is_no_part_of_a_path(self) -> None:
        """What looks like an oid is no part of a path."""
        self.assert_covers(f"obj:{ONE}/repo:read")
        self.assert_covers(f"obj:{ONE}/{TWO}:read")
        self.assert_covers(f"obj:{ONE}/*:read")

    def test_upper_case_oid(self) -> None:
        """An oid has lower-case digits; with others it is a repository's name."""
        self.assert_covers(f"obj:org/repo/{ONE.upper()}:read")

    def test_the_case_of_names_matters(self) -> None:
        self.assert_covers("obj:Org/repo:read")

    def test_percent_encoded_names_are_decoded(self) -> None:
        """Names are percent-decoded, so every repository can be named."""
        self.assertTrue(granted("obj:org/a%3Ab:read", "org/a:b", None))
        self.assertTrue(granted("obj:org/a%20b:read obj:x:read", "org/a b", None))
        self.assertTrue(granted("obj:org/100%25:read", "org/100%", None))
        self.assertTrue(granted("obj:org/%C3%A9:read", "org/é", None))
        self.assertTrue(granted("obj:org/é:read", "org/é", None))

    def test_an_encoded_star_is_no_wildcard(self) -> None:
        """An encoded star is a name, not a wildcard."""
        self.assert_covers("obj:org/%2A:read")
        self.assertTrue(granted("obj:org/%2A:read", "org/*", None))

    def test_an_encoded_slash_separates_nothing(self) -> None:
        """An encoded slash separates nothing."""
        self.assert_covers("obj:org%2Frepo:read")

    def test_a_malformed_encoding_grants_nothing(self) -> None:
        """What is not UTF-8 grants nothing, in particular not on U+FFFD."""
        self.assertIsNone(Scope.parse("obj:org/%FF:read"))

    def test_dots_are_names_like_others(self) -> None:
        self.assert_covers("obj:org/../foe/repo:read")
        self.assert_covers("obj:./org:read")


class PermissionTests(SynchronousTestCase):
    """What the subscope and the actions of a scope permit."""

    def assert_permits(self, scope: str, *expected: Permission) -> None:
        """Check what ``scope`` permits on ``org/repo``."""
        self.assertEqual(granted([scope], "org/repo", ONE), frozenset(expected), scope)

    def test_each_action_permits_what_it_names(self) -> None:
        self.assert_permits("obj:org/repo:read", READ, META)
        self.assert_permits("obj:org/repo:write", WRITE, META)
        self.assert_permits("obj:org/repo:verify", META)
        self.assert_permits("obj:org/repo:read-meta", META)
        self.assert_permits("obj:org/repo:*", *EVERYTHING)

    def test_admin_must_be_given_by_name(self) -> None:
        """Whoever is to have it must be given it by name; it includes no other."""
        self.assert_permits("obj:org/repo:admin", ADMIN, META)
        self.assert_permits("obj:org/repo:read,write,admin", *EVERYTHING, ADMIN)
        self.assert_permits("obj:org/repo:*,admin", *EVERYTHING, ADMIN)
        self.assert_permits("obj:org/repo:meta:admin", META)
        for scope in ("obj", "obj:*", "obj:*:*", "obj:org/repo:*:*"):
            self.assertNotIn(ADMIN, granted(scope, "org/repo", None))

    def test_several_actions_add_up(self) -> None:
        self.assert_permits("obj:org/repo:read,write", *EVERYTHING)
        self.assert_permits("obj:org/repo:write,read", *EVERYTHING)
        self.assert_permits("obj:org/repo:verify,read", READ, META)
        self.assert_permits("obj:org/repo:read,read", READ, META)
        self.assert_permits("obj:org/repo:verify,*", *EVERYTHING)

    def test_no_actions_mean_all_actions(self) -> None:
        """All actions are permitted where none are named."""
        self.assert_permits("obj:org/repo", *EVERYTHING)
        self.assert_permits(f"obj:org/repo/{ONE}", *EVERYTHING)

    def test_unknown_actions_grant_nothing(self) -> None:
        """Unknown actions grant nothing, and take nothing from their neighbours."""
        for actions in ("delete", "Read", "READ", "reads", "read write", "", ",", "meta", "**"):
            self.assert_permits(f"obj:org/repo:{actions}")
        self.assert_permits("obj:org/repo:delete,read", READ, META)
        self.assert_permits("obj:org/repo:read,", READ, META)
        self.assert_permits("obj:org/repo:,,verify", META)

    def test_meta_restricts_every_action(self) -> None:
        """``meta`` restricts every action to what it permits on metadata."""
        for subscope in ("meta", "metadata"):
            for actions in ("verify", "read", "read-meta", "write", "read,write", "*"):
                self.assert_permits(f"obj:org/repo:{subscope}:{actions}", META)
            self.assert_permits(f"obj:org/repo:{subscope}:delete")

    def test_a_star_as_subscope_restricts_nothing(self) -> None:
        """A star is no restriction."""
        self.assert_permits("obj:org/repo:*:read", READ, META)
        self.assert_permits("obj:org/repo:*:*", *EVERYTHING)

    def test_an_unknown_subscope_grants_nothing(self) -> None:
        """What an unknown subscope means is unknown, so it grants nothing."""
        for subscope in ("data", "Meta", "metadata2", "meta,data", ""):
            self.assert_permits(f"obj:org/repo:{subscope}:read")

    def test_an_unknown_entity_grants_nothing(self) -> None:
        for entity in ("", "ob", "Obj", "objs", "user", "*", " obj"):
            self.assert_permits(entity)
            self.assert_permits(f"{entity}:org/repo:read")

    def test_too_many_parts(self) -> None:
        self.assert_permits("obj:org/repo:meta:read:write")
        self.assert_permits("obj:org/repo:*:*:")
        self.assert_permits("obj:org/repo:read::")

    def test_an_empty_part_grants_nothing(self) -> None:
        """A part that a template left empty opens nothing."""
        for scope in ("obj:", "obj::read", "obj:org/:read", "obj:/repo:read", "obj:org//repo:read"):
            self.assert_permits(scope)
        self.assert_permits("obj:org/repo:")
        self.assert_permits("obj:org/repo::")
        self.assert_permits("obj:/")
        for entity in ("", "/", "org/", "/repo", "org//repo", f"/{ONE}", "*/"):
            self.assertIsNone(Scope.parse(f"obj:{entity}:read"), entity)


class ClaimTests(SynchronousTestCase):
    """Several scopes together."""

    def test_a_list_grants_what_its_scopes_grant(self) -> None:
        scopes = ["obj:org/repo:read", f"obj:org/repo/{ONE}:write", "obj:foe/repo:verify"]
        self.assertEqual(granted(scopes, "org/repo", ONE), EVERYTHING)
        self.assertEqual(granted(scopes, "org/repo", TWO), {READ, META})
        self.assertEqual(granted(scopes, "org/repo", None), {READ, META})
        self.assertEqual(granted(scopes, "foe/repo", ONE), {META})
        self.assertEqual(granted(scopes, "group/sub/repo", ONE), NOTHING)

    def test_scopes_for_one_place_add_up(self) -> None:
        """Scopes for one place add up, in whatever order."""
        for place in ("org/repo", f"org/repo/{ONE}"):
            scopes = [f"obj:{place}:read", f"obj:{place}:verify", f"obj:{place}:write"]
            self.assertEqual(granted(scopes, "org/repo", ONE), EVERYTHING)
            self.assertEqual(granted(scopes[::-1], "org/repo", ONE), EVERYTHING)
            self.assertEqual(granted(scopes[:2], "org/repo", ONE), {READ, META})

    def test_a_string_holds_scopes_separated_by_space(self) -> None:
        """A string holds scopes with white space between them."""
        text = f" obj:org/repo:read\n\tobj:org/repo/{ONE}:write  openid "
        self.assertEqual(granted(text, "org/repo", ONE), EVERYTHING)
        self.assertEqual(granted(text, "org/repo", TWO), {READ, META})

    def test_list_items_are_not_split(self) -> None:
        """White space within an item of a list belongs to a name."""
        self.assertEqual(
            granted(["obj:org/repo:read obj:foe/repo:read"], "foe/repo", None), NOTHING
        )
        self.assertEqual(granted(["obj:org/a b:read"], "org/a b", None), {READ, META})

    def test_an_empty_claim_has_no_scopes(self) -> None:
        self.assertEqual(parse_scopes(""), ())
        self.assertEqual(parse_scopes([]), ())

    def test_object_scopes_do_not_open_the_repository(self) -> None:
        """Who may use one object has no permission on the whole."""
        self.assertEqual(granted(f"obj:org/repo/{ONE}:*", "org/repo", None), NOTHING)


# --- a model: the same rules once more, as regular expressions over whole places ---

_MODEL_ACTIONS = {
    "read": {READ, META},
    "write": {WRITE, META},
    "verify": {META},
    "read-meta": {META},
    "admin": {ADMIN, META},
    "*": {READ, WRITE, META},
}


def model_pattern(entity: str) -> str:
    """Return a pattern for ``repo/oid``; one that matches nothing, if need be."""
    *path, last = entity.split("/")
    if not re.fullmatch("[0-9a-f]{64}", last):
        path, last = [*path, last], "[^/]*"
    if not all([*path, last]):
        return "(?!)"
    tail = ""
    if not path or path == ["*"]:
        return f"(?:[^/]+/)+{last}"
    if path[-1] == "*":
        path, tail = path[:-1], "(?:[^/]+/)*"
    elif len(path) == 1:
        tail = "(?:[^/]+/)*"
    names = ["[^/]+" if name == "*" else re.escape(unquote(name)) for name in path]
    return "".join(f"{name}/" for name in names) + tail + last


def model(scope: str, repo: str, oid: str) -> set[Permission]:
    """Return what a scope may permit on ``oid``, or on a repository for an empty oid."""
    kind, *parts = scope.split(":")
    entity, subscope, actions = {
        0: lambda: ("*", "*", "*"),
        1: lambda: (parts[0], "*", "*"),
        2: lambda: (parts[0], "*", parts[1]),
        3: lambda: tuple(parts),
    }.get(len(parts), lambda: ("", "", ""))()
    if kind != "obj" or not re.fullmatch(model_pattern(entity), f"{repo}/{oid}"):
        return set()
    permissions: set[Permission] = set()
    for action in actions.split(","):
        permissions |= _MODEL_ACTIONS.get(action, set())
    limits = {"*": {*EVERYTHING, ADMIN}, "meta": {META}, "metadata": {META}}
    return permissions & limits.get(subscope, set())


_names = st.sampled_from(["a", "b", "*", "", "A", "%2A", "a%20b", ".", "re*", str(ONE), str(TWO)])
_ids = st.lists(_names, max_size=4).map("/".join)
_actions = st.lists(
    st.sampled_from(["read", "write", "verify", "read-meta", "admin", "*", "", "del", "Read"]),
    max_size=3,
).map(",".join)
_subscopes = st.sampled_from(["*", "meta", "metadata", "", "data"])
_kinds = st.sampled_from(["obj", "obj", "obj", "obj", "Obj", ""])
_likely_scopes = st.one_of(
    _kinds,
    st.tuples(_kinds, _ids).map(":".join),
    st.tuples(_kinds, _ids, _actions).map(":".join),
    st.tuples(_kinds, _ids, _subscopes, _actions).map(":".join),
    st.tuples(_kinds, _ids, _subscopes, _actions, _actions).map(":".join),
)
#: The characters that names of repositories may have; control characters are refused.
_name_characters = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/")

_repos = st.lists(st.sampled_from(["a", "b", "A", "*", "a b", "re*"]), min_size=1, max_size=4).map(
    "/".join
)


class PropertyTests(SynchronousTestCase):
    """What holds for every text."""

    @given(st.text())
    @example("obj:" + "/" * 1000)
    @example("obj:" + "%" * 1000)
    @example("obj:\ud800:read")
    @example("obj:a\0b:read")
    def test_parsing_never_raises(self, text: str) -> None:
        """Any text is a scope that grants something, or none."""
        scope = Scope.parse(text)
        self.assertTrue(scope is None or scope.permissions)
        parse_scopes(text)

    @given(st.text().filter(lambda text: text.partition(":")[0] != "obj"))
    def test_other_entities_grant_nothing(self, text: str) -> None:
        self.assertIsNone(Scope.parse(text))

    @given(st.text(st.characters(exclude_characters=":"), max_size=20))
    def test_unknown_actions_grant_nothing(self, actions: str) -> None:
        """Only the known actions of a list grant anything."""
        known = [name for name in actions.split(",") if name in _MODEL_ACTIONS]
        expected: set[Permission] = set().union(*(_MODEL_ACTIONS[name] for name in known))
        self.assertEqual(granted([f"obj:a/b:{actions}"], "a/b", None), expected)

    @given(_likely_scopes, _repos, st.sampled_from([None, ONE, TWO]))
    def test_agrees_with_the_model(self, scope: str, repo: str, oid: Oid | None) -> None:
        """A scope permits exactly what the model says, so never more."""
        self.assertEqual(granted([scope], repo, oid), model(scope, repo, oid or ""))

    @given(st.lists(_likely_scopes, max_size=4), _repos, st.sampled_from([None, ONE]))
    def test_scopes_add_up(self, scopes: list[str], repo: str, oid: Oid | None) -> None:
        """Several scopes permit what each of them permits, and no more."""
        each = (granted([scope], repo, oid) for scope in scopes)
        self.assertEqual(granted(scopes, repo, oid), NOTHING.union(*each))

    @given(st.lists(st.text(_name_characters, min_size=1, max_size=8), min_size=2, max_size=4))
    def test_every_repository_can_be_named(self, names: list[str]) -> None:
        """The encoded path of a repository covers it and nothing else."""
        try:
            repo = Repo.parse(names)
        except BadRequest:
            reject()
        scope = Scope.parse("obj:" + "/".join(quote(name, safe="") for name in repo.segments))
        assert scope is not None
        self.assertTrue(scope.covers(repo))
        self.assertFalse(scope.covers(Repo((*repo.segments, "more"))))
        self.assertFalse(scope.covers(Repo((*repo.segments[:-1], repo.segments[-1] + "x"))))
