"""The plugins in ``examples``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, Final

#: The folder of the examples.
EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples"


def load(name: str) -> Any:
    """Import an example as a module.

    :param name: the name of its file, without ``.py``.
    """
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
