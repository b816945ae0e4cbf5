"""What is read: a share, a part, or so many bytes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.usecases.fsck.selection import Selection, Subset
from tests.support.making import key_of

KEYS = [key_of(b"%d" % number) for number in range(2000)]


def chosen(text: str, seed: str = "a", size: int = 0) -> set[str]:
    """Return the paths of what is chosen of all keys."""
    selection = Selection(Subset.parse(text), seed)
    selection.narrow(size)
    return {key.path for key in KEYS if selection.chooses(key)}


class SelectionTests(SynchronousTestCase):
    def test_everything_is_chosen_by_default(self) -> None:
        selection = Selection(Subset(), "")
        self.assertTrue(all(map(selection.chooses, KEYS)))

    def test_a_share_is_a_random_choice_that_its_seed_repeats(self) -> None:
        found = chosen("25%")
        self.assertTrue(400 < len(found) < 600, len(found))
        self.assertEqual(found, chosen("25%"))
        other = chosen("25%", "b")
        self.assertTrue(50 < len(found & other) < 200)
        self.assertEqual((chosen("0%"), len(chosen("100%"))), (set(), 2000))

    def test_parts_cover_everything_once(self) -> None:
        parts = [chosen(f"{number}/7") for number in range(1, 8)]
        self.assertEqual(sum(map(len, parts)), 2000)
        self.assertEqual(set().union(*parts), {key.path for key in KEYS})
        self.assertTrue(all(200 < len(part) < 370 for part in parts))
        self.assertEqual(chosen("2/7", "a"), chosen("2/7", "b"))

    def test_a_number_of_bytes_becomes_a_share_of_all(self) -> None:
        self.assertEqual(len(chosen("10G", size=10**10)), 2000)
        self.assertTrue(400 < len(chosen("10G", size=4 * 10**10)) < 600)

    def test_everything_else_is_refused(self) -> None:
        for text in ("", "0/7", "8/7", "1/0", "-1/7", "120%", "1/2/3", "x", "50%x", "1/7G"):
            with self.assertRaises(ValueError, msg=text):
                Subset.parse(text)
