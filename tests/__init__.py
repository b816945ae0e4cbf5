"""The tests, laid out like the package; ``integration`` drives the real daemon."""

from hypothesis import settings

# Deadlines measure the machine, not the code; found examples are in the log.
settings.register_profile("giftless", deadline=None, database=None)
settings.load_profile("giftless")
