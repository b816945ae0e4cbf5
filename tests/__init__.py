"""The tests, laid out like the package; ``integration`` drives the real daemon."""

from pathlib import Path

from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.support.rounds import rounds

# What hypothesis computes of Unicode takes seconds: all processes find it here, not each
# in the directory that trial makes for it.
set_hypothesis_home_dir(Path(__file__).parents[1] / ".hypothesis")

# Deadlines measure the machine, not the code; found examples are in the log.
settings.register_profile("giftless", deadline=None, database=None, max_examples=rounds(25, 1000))
settings.load_profile("giftless")
