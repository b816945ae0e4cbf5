"""Say which parts of an upload are missing, as far as can be told from those that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def problem_of_parts(sizes: Mapping[int, int], part_size: int) -> str:
    """Say what is wrong with the parts of an upload; empty if nothing is.

    How many there must be in all, and how large the last one must be, nobody knows.

    :param sizes: the sizes of the parts that are there, in bytes, by number.
    :param part_size: how large each must be but the last one.
    """
    if not sizes:
        return "it has no parts"
    last = max(sizes)
    wrong = [number for number in sorted(sizes) if number < last and sizes[number] != part_size]
    if wrong or sizes[last] > part_size:
        return f"part {min(wrong, default=last)} has another size than {part_size} bytes"
    missing = [number for number in range(1, last) if number not in sizes]
    if missing:
        return f"of the first {last} parts, these are missing: {_numbers(missing)}"
    return ""


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return f"{shown}, \N{HORIZONTAL ELLIPSIS}" if len(numbers) > 5 else shown
