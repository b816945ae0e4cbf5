"""Requests that Klein and the resources of twisted.web answer."""

from __future__ import annotations

from typing import Any

from klein import Klein
from klein.interfaces import IKleinRequest
from twisted.internet.defer import Deferred
from twisted.web import server
from twisted.web.resource import Resource

from giftless.web import klein_tree  # noqa: F401  # says what requests provide
from giftless.web.request import LFSRequest
from giftless.web.resource_request import NOT_DONE_YET
from tests.web.support import FrontTestCase, Response, render_request


class ResourceTests(FrontTestCase):
    def test_a_later_answer_is_told_as_twisted_tells_it(self) -> None:
        self.assertEqual(NOT_DONE_YET, server.NOT_DONE_YET)

    def ask(self, resource: Any, method: str = "GET", target: str = "/a/b%20c?d=e") -> Response:
        """Let a resource answer a request."""
        self.serve()
        self.front.site.resource = resource
        return self.request(method, target)

    def test_a_resource_sees_the_request(self) -> None:
        seen: list[Any] = []

        class Seeing(Resource):
            isLeaf = True

            def render_GET(self, request: LFSRequest) -> bytes:
                adapted: Any = IKleinRequest(request)
                seen.append(adapted is request)
                seen.extend((request.prepath, request.postpath, request.args, request.isSecure()))
                seen.extend((request.getHeader("HOST"), request.getRequestHostname()))
                request.setResponseCode(201)
                request.setHeader("x-own", "yes\r\nno: no")
                return b"answer"

        response = self.ask(Seeing())
        self.assertEqual((response.status, response.body), (201, b"answer"))
        self.assertEqual(response.headers["x-own"], "yes no: no")
        self.assertEqual(
            seen,
            [True, [], [b"a", b"b c"], {b"d": [b"e"]}, False, b"lfs.example", b"lfs.example"],
        )

    def test_values_of_the_query_are_bytes(self) -> None:
        seen: list[Any] = []

        class Seeing(Resource):
            isLeaf = True

            def render_GET(self, request: LFSRequest) -> bytes:
                seen.append(request.args)
                return b""

        self.ask(Seeing(), target="/a?d=%ff&d=x+y;z&e=&f&%C3%A4=%26")
        self.ask(Seeing(), target="/a")
        values = {b"d": [b"\xff", b"x y;z"], b"e": [b""], b"f": [b""], "ä".encode(): [b"&"]}
        self.assertEqual(seen, [values, {}])

    def test_resources_stand_in_a_tree(self) -> None:
        class Root(Resource):
            def getChild(self, path: bytes, request: Any) -> Resource:
                return Leaf() if path == b"a" else self

        class Leaf(Resource):
            isLeaf = True

            def render(self, request: LFSRequest) -> bytes:
                return b"/".join((*request.prepath, b"-", *request.postpath))

        self.assertEqual(self.ask(Root()).body, b"a/-/b c")

    def test_a_resource_may_answer_later(self) -> None:
        waiting: list[LFSRequest] = []

        class Later(Resource):
            isLeaf = True

            def render(self, request: LFSRequest) -> int:
                waiting.append(request)
                return NOT_DONE_YET

        self.serve()
        self.front.site.resource = Later()
        connection = self.connect()
        connection.send(render_request("GET", "/"))
        (request,) = waiting
        done: Deferred[None] = request.notifyFinish()
        self.assertNoResult(done)
        request.setHeader("Content-Length", "2")
        request.respond(b"ok")
        self.successResultOf(done)
        self.assertEqual(connection.response().body, b"ok")

    def test_a_body_of_unknown_length_ends_with_the_connection(self) -> None:
        app = Klein()

        @app.route("/a/<name>")
        def answer(request: Any, name: str) -> str:
            return f"hello {name}, see {request.url_for('answer', {'name': 'x'})}"

        self.serve()
        self.front.site.resource = app.resource()
        connection = self.connect()
        connection.send(render_request("GET", "/a/b"))
        head, _, body = connection.received.partition(b"\r\n\r\n")
        self.assertEqual(body, b"hello b, see /a/x")
        self.assertIn(b"Connection: close", head)
        self.assert_closed_by_server(connection)
