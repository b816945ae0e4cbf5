"""An overview with something of everything, and with what hostile clients choose."""

from __future__ import annotations

from typing import Any

from giftless.interfaces import CacheHoldings
from giftless.interfaces.catalogue import UsageRow
from giftless.monitoring.activity import Recent, RepositoryTraffic, Running
from giftless.monitoring.health import Report, Stored
from giftless.monitoring.overview import CauseCount, Overview, Rates, Series, Totals, WorkerFacts
from giftless.monitoring.scrubbing import ScrubCounts, ScrubFacts, ScrubFinding
from giftless.runtime.lock_questions import LockFacts
from giftless.runtime.space_questions import ObjectFacts, UsageFacts
from giftless.usecases.quotas.level import QuotaLevel

#: 2026-11-28 12:00:00 UTC.
NOW = 1_795_867_200.0

#: What a client may call something, if it means harm.
HOSTILE = (
    "<script>document.title = 'owned'</script>",
    "\"onload='alert(1)' x=\"",
    "<img src=x onerror=document.title='owned'>",
    "'\"><svg onload=document.title='owned'>",
    "</title></table><style>*{display:none}</style>",
    "javascript:document.title='owned'",
    "{{ 7*7 }}{% raw %}",
    "&lt;b&gt;&amp;",
    "exe.\u202egpj.psd",
    "zero\u200bwidth\ufeff\u2066",
    "\u0645\u0634\u0631\u0648\u0639/\u0634\u0639\u0627\u0631",
    "z\u0300\u0301\u0302\u0303\u0304" * 40,
    "w" * 200,
)


def series(step: int, count: int, until: float = NOW) -> Series:
    """Return a series with a hill in the middle and something wrong on its top."""
    hill = [max(0.0, 50.0 - abs(index - count / 2) * 1.5) for index in range(count)]
    return Series(
        step,
        until,
        requests=[round(4 * height) for height in hill],
        errors=[round(height / 12) if height > 40 else 0 for height in hill],
        refused=[round(height / 5) for height in hill],
        uploaded_bytes=[height * 3_000_000 for height in hill],
        downloaded_bytes=[height * 9_000_000 for height in reversed(hill)],
        objects=[2 * height for height in hill],
    )


def empty(step: int, count: int) -> Series:
    """Return a series of a server that nobody has asked anything."""
    nothing = [0.0] * count
    return Series(step, NOW, nothing, nothing, nothing, nothing, nothing, nothing)


def overview(names: tuple[str, ...] = ("acme/site", "acme/film"), **members: Any) -> Overview:
    """Return an overview.

    :param names: what repositories, objects and so on are called.
    :param members: other members than these.
    """
    oid = "6e5d2a" * 10 + "0123"
    facts: dict[str, Any] = {
        "version": "1.0",
        "url": "https://lfs.example.com",
        "started_at": NOW - 200_000,
        "now": NOW,
        "endpoints": ["tcp:8080"],
        "admin_endpoints": ["tcp:9090:interface=127.0.0.1"],
        "workers": [
            WorkerFacts(4101, "serving", 5321.5, 61_000_000, 88, NOW - 90_000),
            WorkerFacts(4102, "serving", 5187.2, 60_400_000, 91, NOW - 90_000),
            WorkerFacts(3011, "leaving", 912.0, 58_100_000, 12, NOW - 200_000),
        ],
        "ssh_processes": [WorkerFacts(4103, "serving", 321.5, 48_000_000, 31, NOW - 90_000)],
        "ssh_started": 3,
        "ssh_died": 1,
        "started": 5,
        "died": 1,
        "reloads": {"succeeded": 2, "failed": 0},
        "reload_problem": "",
        "health": Report(
            {"store": "", "locks": "", "catalogue": ""},
            812_000_000_000,
            42,
            Stored(34_200, 1_270_000_000_000, 990_000_000_000, 210, 31_000_000_000),
            scrub(names),
            (
                CacheHoldings(
                    path="/var/cache/giftless",
                    bytes=312_000_000_000,
                    entries=48_211,
                    limit=500_000_000_000,
                ),
            ),
        ),
        "health_at": NOW - 4,
        "rates": Rates(38.2, 0.0, 1.4, 24_500_000.0, 81_200_000.0, 96.0),
        "uploads_in_progress": 3,
        "hour": series(60, 60),
        "day": series(900, 96),
        "totals": Totals(1_204_311, 17, 8_112, 912_345_678_901, 4_812_345_678_901, 3_401_227),
        "causes": [
            CauseCount("unauthenticated", 210, 3120, 6001),
            CauseCount("not-found", 12, 140, 1822),
            CauseCount("storage-unavailable", 0, 17, 17),
        ],
        "repositories": [
            RepositoryTraffic(name, 120 - index, 300, 900, 5_100_000_000 >> index, 12_000_000_000)
            for index, name in enumerate(names)
        ],
        "transfers": [
            Running(names[0], oid, 4_000_000_000, 2_700_000_000, NOW - 42, 4101),
            Running(names[-1], oid[::-1], None, 120_000_000, NOW - 3, 4102),
        ],
        "running_total": 3,
        "events": [
            Recent(NOW - 30 * index, "lock.forced", name, f"{name} was released", "f00d" * 4)
            for index, name in enumerate(names)
        ],
        **members,
    }
    return Overview(**facts)


def scrub(names: tuple[str, ...]) -> ScrubFacts:
    """Return the facts of a scrub that has found something in each repository."""
    findings = [
        ScrubFinding(NOW - 900, name, "6e5d2a" * 10 + "0123", 7, "wrong", f"it is {name}", True)
        for name in names
    ]
    running = ScrubCounts(NOW - 500_000, 0.0, 7_000, 250_000_000_000, 0, {"wrong": len(names)})
    last = ScrubCounts(NOW - 3_000_000, NOW - 600_000, 34_000, 1_260_000_000_000)
    period = 30 * 86_400.0
    return ScrubFacts(period, NOW, running, 34_410, 1_301_000_000_000, last, 1, findings)


def locks(names: tuple[str, ...]) -> list[LockFacts]:
    """Return locks whose repository, path and owner are called so."""
    return [
        LockFacts(f"id-{index}", name, f"art/{name}", name, f"basic#{name}", int(NOW) - 90 * index)
        for index, name in enumerate(names)
    ]


def usage(names: tuple[str, ...], count: int = 0) -> UsageFacts:
    """Return the usage of repositories (or whatever it is) that are called so.

    :param count: how many others there are, and have no row.
    """
    rows = [
        UsageRow(name, 900 - index, 4_000_000_000 >> index % 20, 20 + index, 50_000_000 + index)
        for index, name in enumerate(names)
    ]
    total = UsageRow(
        "",
        sum(row.objects for row in rows) + 10 * count,
        sum(row.size for row in rows) + 1000 * count,
        sum(row.trashed for row in rows),
        sum(row.trashed_size for row in rows),
    )
    return UsageFacts(rows, total, total.size // 2, True)


def objects(names: tuple[str, ...], trashed: bool = False) -> list[ObjectFacts]:
    """Return objects whose repository, file, persons and reason are called so."""
    return [
        ObjectFacts(
            name,
            f"{index:x}".rjust(2, "0") + "6e5d2a" * 10 + "01",
            9_000_000_000 >> index,
            NOW - 86400 * (index + 40),
            NOW - 3600 * (index + 1),
            name,
            f"basic#{name}",
            f"art/{name}",
            *(((NOW - 600 * index), name, name, NOW + 86400 * 30) if trashed else ()),
        )
        for index, name in enumerate(names)
    ]


def quotas(names: tuple[str, ...]) -> list[QuotaLevel]:
    """Return quotas of repositories that are called so: full, nearly full, and well."""
    return [
        QuotaLevel(name, index % 2 == 0, 1000, used, 100, 800, *budget)
        for index, (name, used, budget) in enumerate(
            zip(names, (950, 750, 100) * 9, ((), (50, 20), ()) * 9, strict=False)
        )
    ]


def idle() -> Overview:
    """Return the overview of a server that nobody has asked anything."""
    return overview(
        workers=[],
        health=None,
        health_at=None,
        hour=empty(60, 60),
        day=empty(900, 96),
        causes=[],
        repositories=[],
        transfers=[],
        running_total=0,
        events=[],
        rates=Rates(),
        totals=Totals(),
        admin_endpoints=[],
        reloads={},
    )
