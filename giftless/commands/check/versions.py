"""Versions: is what giftless needs installed, and new enough?"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from typing import Final

from giftless import __version__
from giftless.commands.findings import Finding, failed, ok

#: A requirement that holds always, or for an extra: ``name[extra]>=1.2; extra == "s3"``.
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*(?:>=\s*(?P<least>[0-9.]+))?[^;]*"
    r"(?:;.*\bextra\s*==\s*[\"'](?P<extra>[\w-]+)[\"'].*)?$"
)

#: The extras of those who run the server; others test and release it.
_EXTRAS: Final = {None, "azure", "basic", "gcs", "postgresql", "s3"}

_INSTALL: Final = "install giftless anew into its environment: pip install --upgrade"


def look_at_versions(
    requirements: Iterable[str] | None = None,
    version_of: Callable[[str], str] = metadata.version,
) -> Iterator[Finding]:
    """Compare what is installed with what giftless requires.  Blocks.

    What belongs to an extra may be missing: whatever needs it says so where it is built.

    :param requirements: as packages declare them; by default those of giftless.
    :param version_of: tells the version of a package.
    """
    yield ok(
        "versions",
        f"giftless {__version__} with Python {platform.python_version()} on {platform.system()}",
    )
    if requirements is None:
        requirements = metadata.requires("giftless") or ()
    problems = list(_problems(requirements, version_of))
    yield from problems
    if not problems:
        yield ok("versions", "every package that giftless needs is installed and new enough")


def _problems(requirements: Iterable[str], version_of: Callable[[str], str]) -> Iterator[Finding]:
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is None or match["extra"] not in _EXTRAS or match["name"] == "giftless":
            continue
        try:
            version = version_of(match["name"])
        except metadata.PackageNotFoundError:
            if match["extra"] is None:
                yield failed("versions", f"{match['name']} is not installed", operator=_INSTALL)
            continue
        if match["least"] and _numbers(version) < _numbers(match["least"]):
            yield failed(
                "versions",
                f"{match['name']} {version} is older than {match['least']}",
                operator=_INSTALL,
            )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with: ``1.10.0rc1`` is ``1, 10``."""
    numbers = [int(each) for each in re.findall(r"\d+", re.split(r"[^0-9.]", version)[0])]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
