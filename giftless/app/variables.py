"""Set keys of the configuration by variables of the environment.

``GIFTLESS_A__B__0`` sets the first item of the list ``a.b``.  What a variable's value means is
known where the options are (:mod:`giftless.base.schema`), and so is whether a name that ends
with ``_FILE`` is a key, or names the file of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from giftless.base import schema
from giftless.base.safe_yaml import MAX_DEPTH
from giftless.base.schema import EnvironmentValue
from giftless.errors import ConfigError

#: What the names of environment variables begin with.
PREFIX: Final = "GIFTLESS_"

#: The variable that names the configuration file.
FILE_VARIABLE: Final = "GIFTLESS_CONFIG"

#: What Kubernetes sets, in each container of a namespace, for a Service whose name begins
#: with "giftless".
_OF_A_SERVICE: Final = re.compile(
    r"GIFTLESS_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)", re.ASCII
)
_PORT_OF_A_SERVICE: Final = re.compile(r"GIFTLESS_(\w+_)?PORT", re.ASCII)
_URL_OF_A_SERVICE: Final = re.compile(r"(tcp|udp|sctp)://", re.ASCII)


def override(data: dict[str, Any], environ: Mapping[str, str], defaults: Mapping[str, Any]) -> None:
    """Put what variables say into the data of a configuration.

    A variable that gives a section another ``type`` replaces the section: the plugin of
    another type has other keys.

    :param data: what the file says; changed.
    :param defaults: the sections and lists that variables complete where the file says
        nothing; changed.
    :raises ConfigError: if a variable's name leads nowhere.
    """
    variables = {
        name: name.removeprefix(PREFIX).lower().split("__")
        for name in sorted(environ)
        if name.startswith(PREFIX) and name != FILE_VARIABLE
    }
    for name, steps in sorted(variables.items(), key=lambda variable: _turn(variable[1])):
        if len(steps) > MAX_DEPTH:
            raise ConfigError(f"environment {name[:80]}", "names more levels than there are")
        if _is_of_a_service(name, environ[name]):
            raise ConfigError(
                f"environment {name[:80]}",
                "is no key, but set by Kubernetes for a Service of this name: set"
                " enableServiceLinks: false in the pod, or call the Service something else",
            )
        _set(data, steps, EnvironmentValue(environ[name]), defaults)


def variable_of(path: str) -> str:
    """Return the name of the variable that sets the key of a dotted path."""
    return f"{PREFIX}{path.upper().replace('.', '__')}"


def setter(path: str, environ: Mapping[str, str]) -> str | None:
    """Return the variable that sets a key: by name, with a whole section, in part, or by a file.

    :param path: the key's dotted path.
    """
    key = variable_of(path)
    in_file = f"{key}{schema.IN_FILE.upper()}"
    found = (name for name in sorted(environ, reverse=True) if _sets(name, key))
    return next(found, in_file if in_file in environ else None)


def hidden(path: str) -> str:
    """Return the beginning of the names of all variables below a path."""
    return f"{variable_of(path)}__…" if path else f"{PREFIX}…"


def _sets(variable: str, key: str) -> bool:
    return variable.startswith(PREFIX) and (
        f"{key}__".startswith(f"{variable}__") or variable.startswith(f"{key}__")
    )


def _turn(steps: list[str]) -> list[tuple[int, int, str]]:
    """Return when a variable's turn is: sections before keys, ``type`` before other keys."""
    *above, last = steps
    turn = [(1, len(step), step) if step.isdecimal() else (2, 0, step) for step in above]
    if last == "type":
        return [*turn, (0, 0, "")]
    return [*turn, (1, len(last), last) if last.isdecimal() else (2, 0, last)]


def _is_of_a_service(name: str, value: str) -> bool:
    if _OF_A_SERVICE.fullmatch(name):
        return True
    return bool(_PORT_OF_A_SERVICE.fullmatch(name) and _URL_OF_A_SERVICE.match(value))


def _set(
    data: dict[str, Any], steps: list[str], value: EnvironmentValue, defaults: Mapping[str, Any]
) -> None:
    """Put ``value`` where ``steps`` lead; digits index lists."""
    default = defaults.get(steps[0])
    if len(steps) > 1 and steps[0] not in data and isinstance(default, dict | list):
        data[steps[0]] = default
    target: Any = data
    for place, (step, following) in enumerate(zip(steps, [*steps[1:], None], strict=True)):
        key: Any = step
        if isinstance(target, list):
            if not step.isdecimal() or len(step) > 9 or int(step) > len(target):
                path = ".".join(steps[:place])
                raise ConfigError(
                    f"environment {hidden(path)}",
                    f"allowed behind it is the index of a list of {len(target)}, from 0",
                )
            key = int(step)
            if key == len(target):
                target.append(None)
        if following is None:
            if step == "type" and target.get("type", value) != value:
                target.clear()
            target[key] = value
            return
        whole = target[key] if isinstance(target, list) else target.get(key)
        inner = schema.expand(whole)
        if not isinstance(inner, dict | list):
            if isinstance(whole, EnvironmentValue) and inner is not None:
                raise ConfigError(
                    f"environment {variable_of('.'.join(steps[: place + 1]))}",
                    "is neither a section nor a list, but other variables set keys in it",
                )
            # A value without keys makes way, as an endpoint that is a string does.
            inner = [] if following.isdecimal() else {}
        target[key] = inner
        target = inner
