"""The one grammar of routes."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.web.call import Call
from giftless.web.route import Level, Route
from tests.web.support import MEDIA_TYPE, FrontTestCase


async def answer(call: Call, **variables: str) -> None:
    call.request.respond_json(200, repr(sorted(variables.items())).encode())


def route(template: str, *methods: str, level: Level = Level.REPOSITORY) -> Route:
    """Make a route."""
    return Route(template, methods or ("GET",), answer, level)


def server(template: str) -> Route:
    """Make a route below the root of the server."""
    return route(template, level=Level.SERVER)


#: Templates of few words, so that many of them overlap.
templates = st.lists(st.sampled_from(("a", "b", "{x}", "{y}")), min_size=1, max_size=3).filter(
    lambda segments: segments.count("{x}") < 2 and segments.count("{y}") < 2
)
routes = st.builds(
    lambda segments, level: route("/".join(segments), level=level),
    templates,
    st.sampled_from(Level),
)


class GrammarTests(SynchronousTestCase):
    def test_a_template_becomes_kleins_rule_and_a_pattern(self) -> None:
        made = route("objects/{oid}/a.b")
        self.assertEqual(made.rule, "/<repo:repo>/objects/<string:oid>/a.b")
        self.assertEqual(made.pattern.pattern, r"/(?P<repo>.+?)/objects/(?P<oid>[^/]+)/a\.b")

    def test_its_end_is_that_of_all_its_urls(self) -> None:
        for template, end in (
            ("objects/batch", "/objects/batch"),
            ("objects/{oid}", ""),
            ("objects/{oid}/a.b/c", "/a.b/c"),
        ):
            self.assertEqual(route(template).end, end)
        self.assertEqual((server("-/").end, server("").end), ("/-/", ""))

    def test_a_variable_may_stand_for_the_rest_of_a_path(self) -> None:
        made = server("a/{what:rest}")
        self.assertEqual(made.rule, "/a/<path:what>")
        self.assertEqual(made.end, "")
        found = made.pattern.fullmatch("/a/b/c.d/e")
        assert found is not None
        self.assertEqual(found.groupdict(), {"what": "b/c.d/e"})
        self.assertIsNone(made.pattern.fullmatch("/a/"))
        self.assertLess(made.precedence, server("a/b").precedence)
        for template in ("{what:rest}/a", "a/{what:rest}/b", "a/{x:rest}{y:rest}"):
            self.assertRaises(ValueError, server, template)
        self.assertRaises(ValueError, route, "a/{what:rest}")

    @given(routes, st.text("ab/", min_size=1))
    def test_no_url_of_a_route_ends_otherwise(self, made: Route, path: str) -> None:
        if made.pattern.fullmatch(path):
            self.assertTrue(path.endswith(made.end))

    def test_a_route_of_the_server_names_no_repository(self) -> None:
        made = server("health/{part}")
        self.assertEqual(made.rule, "/health/<string:part>")
        self.assertEqual(made.pattern.pattern, "/health/(?P<part>[^/]+)")

    def test_an_empty_template_is_the_root_of_the_server(self) -> None:
        made = server("")
        self.assertEqual((made.rule, made.pattern.pattern, made.segments), ("/", "/", []))

    def test_a_route_of_the_server_may_end_with_a_slash(self) -> None:
        made = server("-/")
        self.assertEqual((made.rule, made.pattern.pattern), ("/-/", "/\\-/"))
        for template in ("/", "a//", "/a/"):
            self.assertRaises(ValueError, server, template)

    def test_head_comes_with_get(self) -> None:
        self.assertEqual(route("a", "GET", "PUT").methods, ("GET", "PUT", "HEAD"))
        self.assertEqual(route("a", "GET", "HEAD").methods, ("GET", "HEAD"))
        self.assertEqual(route("a", "POST").methods, ("POST",))

    def test_malformed_templates_are_refused(self) -> None:
        for template in (
            *("", "/a", "a/", "a//b", "a b", "é", "a?b", "<string:a>", "{a", "a}", "{a}b"),
            *("{}", "{A}", "{1}", "{a-b}", "{repo}", "{a}/{a}", "..\n"),
        ):
            self.assertRaises(ValueError, route, template)

    def test_malformed_methods_are_refused(self) -> None:
        self.assertRaises(ValueError, Route, "a", (), answer)
        self.assertRaises(ValueError, Route, "a", "PUT", answer)
        for method in ("", "get", "GE T", "GET\n", "G"):
            self.assertRaises(ValueError, route, "a", method)


class OverlapTests(SynchronousTestCase):
    def assert_overlap(self, one: Route, other: Route, overlap: bool) -> None:
        self.assertIs(one.overlaps(other), overlap, (one.template, other.template))
        self.assertIs(other.overlaps(one), overlap, (one.template, other.template))

    def test_routes_below_a_repository(self) -> None:
        for one, other, overlap in (
            ("a", "a", True),
            ("a", "b", False),
            ("a/{x}", "a/b", True),
            ("a/{x}", "b/{x}", False),
            ("{x}/b", "a/{y}", True),
        ):
            self.assert_overlap(route(one), route(other), overlap)

    def test_routes_below_repositories_of_different_depths(self) -> None:
        """Of /r/a/b the repository may be "r" or "r/a"."""
        for one, other, overlap in (
            ("b", "a/b", True),
            ("{x}", "a/b", True),
            ("a", "a/b", False),
            ("a", "b/{x}", False),
            ("stage/{x}", "objects/{y}/parts", False),
        ):
            self.assert_overlap(route(one), route(other), overlap)

    def test_routes_of_the_server(self) -> None:
        self.assert_overlap(server("a"), server("a"), True)
        self.assert_overlap(server("a"), server("b"), False)
        self.assert_overlap(server("a/b"), server("b"), False)

    def test_a_route_of_the_server_and_one_of_repositories(self) -> None:
        self.assert_overlap(server("a/b"), route("a/b"), False)
        self.assert_overlap(server("b"), route("a/b"), False)
        self.assert_overlap(server("r/a/b"), route("a/b"), True)
        self.assert_overlap(server("r/a/{x}"), route("a/b"), False)
        self.assert_overlap(server("r/a/c"), route("a/b"), False)

    @given(routes, routes)
    def test_the_patterns_tell_the_same(self, one: Route, other: Route) -> None:
        short, long = sorted((one, other), key=lambda route: len(route.segments))
        variables = re.findall("{.}", short.template)
        if short.level is long.level and len(short.segments) == len(long.segments):
            paths = []
            for words in itertools.product("abz", repeat=len(variables)):
                path = short.template
                for variable, word in zip(variables, words, strict=True):
                    path = path.replace(variable, word)
                paths.append(path)
            prefix = "/" if short.level is Level.SERVER else "/r/"
            shared = any(long.pattern.fullmatch(prefix + path) for path in paths)
        else:
            prefix = "/" if long.level is Level.SERVER else "/r/"
            path = prefix + re.sub("{.}", "fresh", long.template)
            shared = short.level is Level.REPOSITORY and bool(short.pattern.fullmatch(path))
        self.assert_overlap(one, other, shared)


class ServerLevelTests(FrontTestCase):
    """An endpoint below the root of the server is served as all others are."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(
            routes=(
                Route("about/{part}", ("GET",), answer, Level.SERVER),
                Route("about", ("GET", "POST"), answer, Level.SERVER),
            )
        )

    def test_it_gets_the_variables_of_its_url(self) -> None:
        response = self.request("GET", "/about/a%20b")
        self.assertEqual((response.status, response.body), (200, b"[('part', 'a b')]"))
        self.assertEqual(self.request("POST", "/about").body, b"[]")

    def test_klein_serves_it_too(self) -> None:
        """What the short way does not know still finds its endpoint."""
        self.front.forget_fast_routes()
        response = self.request("GET", "/about/a%20b")
        self.assertEqual((response.status, response.body), (200, b"[('part', 'a b')]"))
        self.assertEqual(self.request("POST", "/about").body, b"[]")

    def test_head_has_the_headers_and_no_body(self) -> None:
        connection = self.connect()
        response = connection.request("HEAD", "/about")
        self.assertEqual((response.status, response.headers["content-length"]), (200, "2"))
        self.assertEqual(connection.received, b"")

    def test_other_methods_are_refused_with_those_that_there_are(self) -> None:
        for method in ("DELETE", "OPTIONS", "PUT"):
            response = self.request(method, "/about")
            self.assert_error(response, 405)
            self.assertEqual(response.headers["allow"], "GET, HEAD, POST")

    def test_it_stands_below_no_repository(self) -> None:
        response = self.request("GET", "/org/repo/about")
        self.assert_error(response, 404)
        self.assertEqual(response.headers["content-type"], MEDIA_TYPE)
