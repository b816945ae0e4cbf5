"""What stands in the files for Prometheus and Grafana."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from giftless.monitoring.scrubbing import ScrubCounts, ScrubFacts

_ETC: Final = Path(__file__).resolve().parents[2] / "etc"

#: The rules of Prometheus, and the dashboard of Grafana.
RULES: Final = _ETC / "prometheus" / "giftless.rules.yml"
DASHBOARD: Final = _ETC / "grafana" / "giftless.json"

#: A scrub of which everything is told.
SCRUB: Final = ScrubFacts(1.0, 1.0, ScrubCounts(1.0), 1, 1, ScrubCounts(1.0, 1.0), 1)

#: What Grafana puts in place of its variables.
_VARIABLES: Final = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*"}


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard, rows too."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> list[str]:
    """Return what the panels ask, as Prometheus gets it."""
    found = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    for name, value in _VARIABLES.items():
        found = [expression.replace(name, value) for expression in found]
    return found
