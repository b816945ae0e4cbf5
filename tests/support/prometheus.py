"""A real Prometheus that scrapes a daemon, and promtool.

Debian's package ``prometheus`` has both; ``.ci/run`` installs it.  Where it is missing,
:func:`prometheus` and :func:`promtool` raise ``SkipTest`` and say so by name.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from twisted.trial.unittest import SkipTest

from tests.support.ports import free_port
from tests.support.processes import PATIENCE, wait_until

#: How often a daemon is scraped: often, so that little happens between two times; and how
#: long it may take, which on a busy machine is as long as that.
INTERVAL: Final = "1s"


def find(name: str) -> str:
    """Return the path of a command of Prometheus.

    :raises SkipTest: if it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise SkipTest(f"{name} is not installed; Debian's package is prometheus")
    return found


def promtool(*arguments: str, stdin: str = "") -> tuple[int, str]:
    """Run ``promtool``.

    :returns: its exit status, and all that it prints.
    """
    done = subprocess.run(
        [find("promtool"), *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that runs.

    :ivar url: its root.
    """

    url: str

    def ask(self, path: str, **arguments: str) -> Any:
        """Return the data of an answer of its API."""
        query = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=PATIENCE) as reply:
            answer = json.load(reply)
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> Mapping[str, float]:
        """Return the values of an expression now, by their labels as text."""
        return {
            ",".join(f"{k}={v}" for k, v in sorted(row["metric"].items()) if k not in _TARGET): (
                float(row["value"][1])
            )
            for row in self.ask("query", query=expression)["result"]
        }

    def names(self) -> list[str]:
        """Return the names of all that it has scraped."""
        found: list[str] = self.ask("label/__name__/values")
        return found

    def scraped(self) -> int:
        """Return how often it has scraped, and was answered in time."""
        counted = self.query("sum_over_time(up[1h])")
        return int(sum(counted.values()))


#: The labels that a scrape adds.
_TARGET: Final = ("instance", "job")


@contextmanager
def prometheus(directory: Path, target: int, rules: Path | None = None) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes a port of this machine.

    :param directory: where it keeps everything.
    :param target: the port.
    :param rules: a file of rules.
    :raises SkipTest: if it is not installed.
    """
    command = find("prometheus")
    directory.mkdir()
    configuration = {
        "global": {"scrape_interval": INTERVAL, "evaluation_interval": "1s"},
        "rule_files": [] if rules is None else [str(rules)],
        "scrape_configs": [
            {"job_name": "giftless", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        ],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    with (directory / "log").open("wb") as log:
        running = subprocess.Popen(
            [
                command,
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
        )
        found = Prometheus(f"http://127.0.0.1:{port}")

        def scrapes() -> bool:
            if running.poll() is not None:
                raise AssertionError((directory / "log").read_text())
            try:
                return found.scraped() > 0
            except OSError:
                return False

        try:
            wait_until(scrapes, "a scrape")
            yield found
        finally:
            running.terminate()
            running.wait(PATIENCE)
