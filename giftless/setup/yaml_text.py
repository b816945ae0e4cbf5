"""Write values as YAML: in blocks, as people do, and in one line."""

from __future__ import annotations

from typing import Any, Final

import yaml

#: No line is broken.
_WIDTH: Final = 1 << 30


def in_block(key: str, value: Any) -> str:
    """Write a key and its value in as many lines as it takes, with a line's end behind it."""
    return yaml.safe_dump(
        {key: value}, default_flow_style=False, sort_keys=False, allow_unicode=True, width=_WIDTH
    )


def in_line(value: Any) -> str:
    """Write a scalar so that it can stand anywhere."""
    # What ends a line would be one in a text that is not escaped.
    plain = not isinstance(value, str) or value.isprintable()
    text = yaml.safe_dump([value], default_flow_style=True, allow_unicode=plain, width=_WIDTH)
    return text.strip()[1:-1]
