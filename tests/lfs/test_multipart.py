"""Dividing objects into parts."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.errors import PayloadTooLarge
from giftless.lfs.multipart import (
    GRANULE,
    Part,
    PartAction,
    PartLimits,
    PartPlan,
    parts_are_missing,
)
from giftless.lfs.objects import Action

MIB = 1024**2

#: What S3 takes.
S3 = PartLimits(5 * MIB, 5 * 1024 * MIB, 10_000)

_plans = st.builds(PartPlan, st.integers(0, 5000), st.integers(1, 700))


class PlanTests(SynchronousTestCase):
    @given(_plans)
    def test_parts_are_the_whole_object(self, plan: PartPlan) -> None:
        """One after the other, without gaps."""
        parts = list(plan)
        self.assertEqual(len(parts), plan.count)
        self.assertEqual([part.number for part in parts], list(range(1, plan.count + 1)))
        position = 0
        for part in parts:
            self.assertEqual(part.pos, position)
            position += part.size
        self.assertEqual(position, plan.size)
        for part in parts[:-1]:
            self.assertEqual(part.size, plan.part_size)

    @given(_plans)
    def test_a_part_is_found_by_its_number(self, plan: PartPlan) -> None:
        for part in plan:
            self.assertEqual(plan.part(part.number), part)
        for number in (-1, 0, plan.count + 1, 2**70):
            self.assertIsNone(plan.part(number))

    def test_an_empty_object_has_one_part(self) -> None:
        self.assertEqual(list(PartPlan(0, 10)), [Part(1, 0, 0)])

    def test_a_part_that_is_exactly_full(self) -> None:
        self.assertEqual(list(PartPlan(20, 10)), [Part(1, 0, 10), Part(2, 10, 10)])

    @given(_plans, st.dictionaries(st.integers(0, 50), st.integers(0, 700)))
    def test_what_is_missing_is_what_was_not_found(
        self, plan: PartPlan, found: dict[int, int]
    ) -> None:
        missing = plan.missing(found)
        for part in plan:
            self.assertEqual(part in missing, found.get(part.number) != part.size)


class LimitTests(SynchronousTestCase):
    def test_what_is_wanted_is_used_if_it_can_be(self) -> None:
        self.assertEqual(S3.plan(100 * MIB, 8 * MIB), PartPlan(100 * MIB, 8 * MIB))

    def test_limits_are_kept(self) -> None:
        self.assertEqual(S3.plan(100 * MIB, 1).part_size, 5 * MIB)
        self.assertEqual(S3.plan(100 * MIB, 2**60).part_size, 5 * 1024 * MIB)

    def test_parts_grow_with_the_object(self) -> None:
        """5 TB must go into 10,000 parts."""
        plan = S3.plan(5 * 10**12, 8 * MIB)
        self.assertLessEqual(plan.count, 10_000)
        self.assertGreater(plan.part_size, 8 * MIB)
        self.assertEqual(plan.part_size % GRANULE, 0)

    @given(st.integers(0, 50 * 1024**4), st.integers(1, 2**40))
    def test_every_plan_is_within_the_limits(self, size: int, wanted: int) -> None:
        most = S3.max_size * S3.max_parts
        if size > most:
            self.assertRaises(PayloadTooLarge, S3.plan, size, wanted)
            return
        plan = S3.plan(size, wanted)
        self.assertLessEqual(plan.count, S3.max_parts)
        self.assertLessEqual(S3.min_size, plan.part_size)
        self.assertLessEqual(plan.part_size, S3.max_size)

    @given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 1000))
    def test_a_plan_never_exceeds_small_limits(
        self, size: int, wanted: int, max_parts: int
    ) -> None:
        limits = PartLimits(1, 2**63, max_parts)
        self.assertLessEqual(limits.plan(size, wanted).count, max_parts)

    def test_the_largest_object_of_all(self) -> None:
        most = S3.max_size * S3.max_parts
        self.assertEqual(S3.plan(most, 1).count, S3.max_parts)
        error = self.assertRaises(PayloadTooLarge, S3.plan, most + 1, 1)
        self.assertIn(str(most), error.message)


class WireTests(SynchronousTestCase):
    def test_a_parts_action(self) -> None:
        """Position and size are told even where they equal the protocol's defaults."""
        action = Action("https://x/1", {"A": "b"}, 60)
        part = PartAction.of(action, Part(1, 0, 0), "contentMD5")
        self.assertEqual(
            json.loads(msgspec.json.encode(part)),
            {
                "href": "https://x/1",
                "header": {"A": "b"},
                "expires_in": 60,
                "pos": 0,
                "size": 0,
                "want_digest": "contentMD5",
            },
        )
        plain = PartAction.of(Action("https://x/2"), Part(2, 10, 5))
        self.assertEqual(
            json.loads(msgspec.json.encode(plain)), {"href": "https://x/2", "pos": 10, "size": 5}
        )

    def test_missing_parts_are_named(self) -> None:
        plan = PartPlan(1000, 10)
        self.assertIn("part 7 is missing", parts_are_missing([Part(7, 60, 10)]).message)
        message = parts_are_missing(list(plan)).message
        self.assertIn("parts 1, 2, 3", message)
        self.assertIn("and 80 more are missing", message)
        self.assertEqual(parts_are_missing(list(plan)).code, 409)
