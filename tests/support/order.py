"""Which modules of tests there are, and in which order ``tests/run.py`` takes them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: What is taken first, in this order, so that no process is left with something long when
#: the others have ended.  One process takes all modules of a line: they use the same
#: browser, emulator, database or package, which takes long to start or build.
FIRST = (
    ("tests.integration.test_agent",),
    ("tests.integration.test_space_pages", "tests.integration.test_pages"),
    ("tests.integration.test_memory",),
    ("tests.integration.test_prometheus",),
    (
        "tests.integration.test_browser",
        "tests.integration.test_browser_stores",
        "tests.integration.test_landing",
        "tests.integration.test_tus_clients",
    ),
    (
        "tests.integration.test_webhooks",
        "tests.integration.test_outages",
        "tests.integration.test_monitoring",
        "tests.observers.webhooks.test_outbox",
    ),
    (
        "tests.integration.test_locks_shared",
        "tests.catalogue.test_postgresql",
        "tests.locks.test_postgresql",
        "tests.locks.test_marks",
        "tests.integration.test_quotas",
        "tests.commands.test_migrate",
    ),
    ("tests.integration.test_multipart", "tests.integration.test_s3"),
    (
        "tests.integration.test_multipart_azure",
        "tests.integration.test_azure",
        "tests.storage.azure.test_listing",
        "tests.storage.azure.test_store",
        "tests.storage.azure.test_resumable",
        "tests.storage.azure.test_blocks_contract",
        "tests.storage.azure.test_blocks",
        "tests.storage.azure.test_credentials",
        "tests.storage.azure.test_identity",
        "tests.storage.azure.test_options",
        "tests.storage.azure.test_copies",
        "tests.storage.azure.test_probe",
    ),
    (
        "tests.integration.test_gcs",
        "tests.storage.gcs.test_listing",
        "tests.storage.gcs.test_store",
        "tests.storage.gcs.test_parts",
        "tests.storage.gcs.test_accounts",
        "tests.storage.gcs.test_resumable",
        "tests.storage.gcs.test_copies",
        "tests.storage.gcs.test_identity",
        "tests.storage.gcs.test_probe",
    ),
    (
        # All three emulators.
        "tests.integration.test_migrate",
        "tests.integration.test_trash",
        "tests.integration.test_tus_stores",
        "tests.integration.test_gc_stores",
        "tests.storage.encrypted.test_remote_resumable",
    ),
    ("tests.integration.test_debian", "tests.docs.test_debian"),
    ("tests.integration.test_gc",),
    ("tests.integration.test_plugins",),
    ("tests.integration.test_systemd",),
    ("tests.integration.test_overview",),
    ("tests.integration.test_reloads",),
    ("tests.integration.test_locks",),
    ("tests.integration.test_workers",),
    ("tests.integration.test_clock",),
    ("tests.integration.test_configuration",),
    ("tests.docs.test_nginx",),
    ("tests.commands.test_objects",),
    ("tests.web.test_sending",),
    ("tests.web.test_tls",),
    ("tests.web.test_request",),
    ("tests.sshd.test_listener",),
    ("tests.test_operations",),
    ("tests.web.test_auth_matrix",),
    ("tests.benchmarks.test_peers",),
    ("tests.usecases.test_moving",),
    ("tests.locks.test_sqlite",),
    ("tests.test_packaging",),
    ("tests.test_architecture",),
)

#: The folders whose other modules come next, because they await other processes too.
LONG = ("integration", "docs", "storage")

#: What modules import that have long rounds, themselves or by a module of tests.
REPEATING = ("tests.support.rounds", "hypothesis")


def modules(soak: bool = False) -> list[str]:
    """Name every module with tests, in the order in which they are taken.

    :param soak: name only those that have long rounds.
    """
    paths = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")]
    paths.sort(key=lambda path: (*(path.parts[1] != folder for folder in LONG), path))
    names = list(map(_name, paths))
    if soak:
        repeating = _repeating()
        names = [name for name in names if name in repeating]
    first = [name for batch in FIRST for name in batch if name in names]
    return [*first, *(name for name in names if name not in first)]


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def _repeating() -> set[str]:
    """Find the modules of tests that import what has long rounds, or one that does."""
    texts = {
        _name(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in (ROOT / "tests").rglob("*.py")
    }
    found: set[str] = set()
    new = set(REPEATING)
    while new:
        imports = [f"from {name} import" for name in new]
        found |= new
        new = {name for name, text in texts.items() if any(each in text for each in imports)}
        new -= found
    return found


def batches(names: list[str]) -> list[str]:
    """Divide modules into what one process takes at once.

    :param names: as :func:`modules` returns them.
    :returns: the names of such modules, divided by spaces.
    """
    first = [[name for name in batch if name in names] for batch in FIRST]
    together = [" ".join(batch) for batch in first if batch]
    return together + names[sum(map(len, first)) :]
