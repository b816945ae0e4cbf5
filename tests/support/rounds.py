"""How often tests repeat what they do, and how large their objects are.

``make test`` does little of it, ``make soak`` much.  A test module calls :func:`rounds`
itself, or lets hypothesis look for examples: ``make soak`` runs those that do.
"""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")


def rounds(short: T, long: T) -> T:
    """Choose between what is enough to see a mistake and what makes a rare one likely.

    ``tests/run.py --soak`` sets ``TESTS_SOAK``.

    :param short: how often or how much in ``make test``.
    :param long: the same in ``make soak``.
    """
    return long if "TESTS_SOAK" in os.environ else short
