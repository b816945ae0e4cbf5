"""``giftless gc`` beside clients that push, killed at any moment: nothing that is needed goes.

A seed decides on what happens: ``TESTS_SEED=… TESTS_ROUNDS=…`` repeats it, but for the timing.
"""

from __future__ import annotations

import os
import random
import threading

from tests.integration.collecting import World
from tests.integration.support import IntegrationTestCase
from tests.support.rounds import rounds

#: How many rounds there are in all, and in how many worlds at the same time.
ROUNDS = int(os.environ.get("TESTS_ROUNDS") or rounds(3, 1000))
WORLDS = rounds(1, 4)


class RoundTests(IntegrationTestCase):
    def make_world(self, number: int, seed: int) -> World:
        """Make a world with a daemon of its own."""
        directory = self.directory / f"world-{number}"
        directory.mkdir()
        daemon = self.start_daemon(f"daemon-{number}", config={"workers": 2})
        world = World(directory, seed, daemon, self.git)
        return world

    def test_nothing_that_a_ref_leads_to_is_ever_lost(self) -> None:
        self.git = self.make_git()
        seed = int(os.environ.get("TESTS_SEED") or random.SystemRandom().getrandbits(32))
        worlds = [self.make_world(number, seed + number) for number in range(WORLDS)]
        failures: list[BaseException] = []

        def live(world: World) -> None:
            try:
                for _ in range(ROUNDS // WORLDS):
                    if failures:
                        return
                    world.round()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=live, args=(world,)) for world in worlds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        total = sum((world.counts for world in worlds), start=worlds[0].counts.__class__())
        print(f"seed {seed}: {dict(sorted(total.items()))}")
        for failure in failures:
            raise failure
        self.assertEqual(total["rounds"], ROUNDS)
