"""The example page with buckets: the browser talks to the store itself.

The stores have the CORS rules that the documentation shows, and only the page's
origin is put in.
"""

from __future__ import annotations

import json
import os
import shlex
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.docs.pages import DOCS, code
from tests.integration.support import oid_of
from tests.integration.test_browser import MIB, PageTestCase
from tests.support.azurite import azurite
from tests.support.chromium import wait_for
from tests.support.faulty import FaultyProxy
from tests.support.servers import shared, versitygw

#: The origin that the documentation's rules name.
ORIGIN = "https://git.example.com"

#: How many parts there are.
PARTS = 6


class StoreTestCase(PageTestCase):
    """A daemon over a store, and a proxy that counts in front of the store.

    :cvar part_size: the size of parts, in bytes.
    """

    part_size = MIB

    def start_with(self, port: int, storage: Mapping[str, Any]) -> None:
        """Start the daemon.

        :param port: the store's.
        :param storage: its section, but for the part size and where clients go.
        """
        self.to_store = FaultyProxy(port)
        self.to_store.__enter__()
        self.addCleanup(self.to_store.__exit__)
        public = storage["endpoint_url"].replace(f":{port}", f":{self.to_store.url[-5:]}")
        self.assertTrue(public.startswith(self.to_store.url))
        self.serve(
            storage={**storage, "public_endpoint_url": public, "part_size": self.part_size},
            # This is about the store: whatever it lets in, it lets in unasked.
            access={"max_failures": 0},
        )

    def objects(self) -> dict[str, bytes]:
        """Return what is in the store, by name."""
        raise NotImplementedError

    def sent_to_store(self) -> int:
        """Return how many uploads the browser has begun."""
        return len([line for line in self.to_store.requests if line.startswith("PUT ")])

    def sent_whole(self) -> int:
        """Return how many answers of the store this page has had, in all of its life."""
        script = "return performance.getEntriesByType('resource').map(entry => entry.name)"
        names = self.browser.execute_script(script)
        return len([name for name in names if name.startswith(self.to_store.url)])

    def check_upload(self) -> None:
        """Upload, reload half-way, and go on."""
        self.open()
        # A part takes more than half a second, which leaves time to do something meanwhile.
        self.throttle(3 * self.part_size // 2)
        data = os.urandom(PARTS * self.part_size)
        file = self.make_file(data)
        self.upload(file)
        wait_for(lambda: self.sent_whole() >= 3, lambda: self.text("problem"))
        stored = self.sent_whole()
        self.browser.refresh()
        before = self.sent_to_store()
        self.throttle(-1)
        self.pick(file)
        self.wait_for_phase("Done")
        self.assertLessEqual(self.sent_to_store() - before, PARTS - stored)
        (name,) = self.objects()
        self.assertEqual(name, f"{self.repo}/{oid_of(data)}")
        self.assertTrue(self.objects()[name] == data, "the bytes differ")
        self.assertEqual(self.accesses("PUT"), [])
        self.assertEqual(self.posted("commit"), [200])
        self.assertEqual(self.complaints(), [])

    def check_one_request(self) -> None:
        """Upload what fits one part, which may have headers that parts have not."""
        self.open()
        self.upload(self.make_file(b"small", "grüße.txt"))
        self.wait_for_phase("Done")
        self.assertEqual(self.objects(), {f"{self.repo}/{oid_of(b'small')}": b"small"})
        self.assertEqual(self.complaints(), [])

    def check_refusal(self) -> None:
        """Without a rule, the browser sends nothing, and the page says what is missing."""
        self.open()
        self.upload(self.make_file(b"small"))
        problem = self.wait_for_problem()
        self.assertIn(f"its bucket has no CORS rule for {self.pages.origin()}", problem)
        self.assertEqual(self.sent_to_store(), 0)
        self.assertEqual(self.objects(), {})


class S3Tests(StoreTestCase):
    """``type: s3``, on a versitygw."""

    #: No less is possible.
    part_size = 5 * MIB

    def setUp(self) -> None:
        """Make a bucket."""
        self.server = shared(versitygw)
        super().setUp()
        self.bucket = f"browser-{uuid.uuid4()}"
        self.start_with(self.server.port, self.server.options(self.bucket))

    def objects(self) -> dict[str, bytes]:
        """See :meth:`StoreTestCase.objects`."""
        return self.server.objects(self.bucket)

    def let_in(self) -> None:
        """Give the bucket the rule of the documentation."""
        blocks = [block.content for block in code(DOCS / "storage" / "s3.rst", "json")]
        (text,) = [block for block in blocks if "CORSRules" in block]
        self.assertIn(ORIGIN, text)
        self.server.set_cors(self.bucket, json.loads(text.replace(ORIGIN, self.pages.origin())))

    def test_a_large_file_goes_up_in_parts(self) -> None:
        self.let_in()
        self.check_upload()

    def test_a_small_file_is_one_request(self) -> None:
        self.let_in()
        self.check_one_request()

    def test_a_refusal_of_the_store_is_explained(self) -> None:
        self.check_refusal()


class AzureTests(StoreTestCase):
    """``type: azure``, on an Azurite."""

    def setUp(self) -> None:
        """Make a container."""
        self.server = shared(azurite)
        super().setUp()
        self.container = f"browser-{uuid.uuid4()}"
        self.server.create(self.container)
        self.server.set_cors()
        self.start_with(self.server.port, self.server.options(self.container))

    def objects(self) -> dict[str, bytes]:
        """See :meth:`StoreTestCase.objects`."""
        return self.server.objects(self.container)

    def let_in(self) -> None:
        """Give the account the rule of the documentation."""
        text = Path(DOCS / "storage" / "azure.rst").read_text().replace("\\\n", " ")
        (line,) = [line for line in text.splitlines() if "az storage cors add" in line]
        words = shlex.split(line.replace(ORIGIN, self.pages.origin()))
        options: dict[str, list[str]] = {}
        for word in words:
            if word.startswith("--"):
                options[word] = values = []
            elif options:
                values.append(word)
        self.server.set_cors(
            {
                "origins": options["--origins"],
                "methods": options["--methods"],
                "headers": options["--allowed-headers"][0].split(","),
                "exposed": options["--exposed-headers"][0].split(","),
            }
        )

    def test_a_large_file_goes_up_in_parts(self) -> None:
        self.let_in()
        self.check_upload()

    def test_a_small_file_is_one_request(self) -> None:
        self.let_in()
        self.check_one_request()

    def test_a_refusal_of_the_store_is_explained(self) -> None:
        self.check_refusal()
