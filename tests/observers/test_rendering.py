"""Events as names and data: every type has both, and all of it is plain ASCII."""

from __future__ import annotations

import json
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.interfaces import Event, ScrubEnded
from giftless.interfaces import events as all_events
from giftless.observers.rendering import NAMES, data_of, encode, name_of, repo_of, time_text
from tests.observers.samples import MOMENT, SAMPLES

#: Any text, with halves of characters too: a JSON Web Token may hold them.
TEXT = st.text(st.characters(exclude_categories=()))


class RenderingTests(SynchronousTestCase):
    def test_every_type_of_event_has_a_name_and_a_sample(self) -> None:
        self.assertEqual({type(event) for event in SAMPLES}, set(get_args(Event)))
        self.assertEqual([name_of(event) for event in SAMPLES], list(NAMES))
        self.assertEqual(len(set(NAMES)), len(NAMES))

    def test_an_event_of_a_later_version_has_no_name(self) -> None:
        self.assertIsNone(name_of(object()))  # type: ignore[arg-type]

    def test_every_event_says_who_did_it(self) -> None:
        for event in SAMPLES:
            data = data_of(event)
            self.assertIn("who", data)
            self.assertIn("principal", data)

    def test_everything_that_an_event_knows_is_told(self) -> None:
        """No member of an event is forgotten, at any depth."""
        for event in SAMPLES:
            told = encode(data_of(event))
            for name in type(event).__slots__:
                value = getattr(event, name)
                if name not in ("key", "lock", "repo", "target", "operation", "arrival"):
                    self.assertIn(json.dumps(value, separators=(",", ":")), told)
                    self.assertIn(f'"{name}":', told)

    def test_the_repository_is_found_wherever_an_event_has_it(self) -> None:
        without = {
            all_events.QuotaWarned,
            ScrubEnded,
            all_events.TokenMinted,
            all_events.ConfigurationReloaded,
        }
        for event in SAMPLES:
            repo = repo_of(event)
            if type(event) in without:
                self.assertIsNone(repo)
            else:
                assert repo is not None
                self.assertEqual(data_of(event)["repo"], repo.path)

    def test_times_are_in_utc_and_to_the_millisecond(self) -> None:
        self.assertEqual(time_text(MOMENT), "2026-11-28T17:00:00.250Z")
        self.assertEqual(time_text(0), "1970-01-01T00:00:00.000Z")

    @given(TEXT)
    def test_any_text_is_one_line_of_printable_ascii(self, text: str) -> None:
        line = encode({"text": text})
        self.assertTrue(line.isascii() and "\x7f" not in line.replace("\\u007f", ""), repr(line))
        self.assertTrue(line.isprintable() or "\x7f" in text, repr(line))
        self.assertEqual(json.loads(line), {"text": text})
