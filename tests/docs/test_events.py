"""The page about events against what observers write."""

from __future__ import annotations

import json
import re

from twisted.trial.unittest import SynchronousTestCase

from giftless.interfaces import LockForced
from giftless.observers.rendering import data_of, encode, name_of, time_text
from giftless.observers.webhooks.observer import Fact
from tests.docs.pages import DOCS, code
from tests.observers.samples import MOMENT, SAMPLES

PAGE = DOCS / "events.rst"

(FORCED,) = (event for event in SAMPLES if isinstance(event, LockForced))


class EventPageTests(SynchronousTestCase):
    def test_every_event_is_shown_as_it_is_written(self) -> None:
        """Each type has its name and, below, an example that was made by the code."""
        shown = re.findall(r"^``([a-z]+\.[a-z]+)``$", PAGE.read_text(), re.MULTILINE)
        self.assertEqual(shown, [name_of(event) for event in SAMPLES])
        examples = [block.content for block in code(PAGE, "json") if not block.classes]
        made = [json.dumps(data_of(event), indent=2) for event in SAMPLES]
        self.assertEqual(examples, made)

    def test_the_body_of_a_webhook_is_as_it_is_sent(self) -> None:
        (block,) = [block for block in code(PAGE, "json") if "webhook" in block.classes]
        fact = Fact.make("lock.forced", MOMENT, data_of(FORCED))
        self.assertEqual(block.content, json.dumps(json.loads(fact.body), indent=2))

    def test_the_line_of_the_audit_log_is_as_it_is_written(self) -> None:
        (block,) = [block for block in code(PAGE, "text") if "audit" in block.classes]
        line = {"time": time_text(MOMENT), "event": "lock.forced", **data_of(FORCED)}
        self.assertEqual(block.content, encode(line))
