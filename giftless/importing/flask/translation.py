"""Translate a whole configuration of the Flask giftless."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from giftless.base.safe_yaml import load_yaml
from giftless.base.showing import describe
from giftless.importing.flask.auth import translate_providers
from giftless.importing.flask.keys import Keys, Note, Notes
from giftless.importing.flask.storage import translate_adapters
from giftless.importing.offers import NoSource

#: The middleware that reads the headers of proxies, and one for browsers.
_PROXY_FIX: Final = "werkzeug.middleware.proxy_fix:ProxyFix"
_CORS: Final = "wsgi_cors_middleware:CorsMiddleware"

_HEADING: Final = """\
# Translated from a configuration of the Flask giftless.  Check it by:
#   twistd giftless --config THIS-FILE --check
# Where it listens was said by the WSGI server; see the key "endpoints".
"""


@dataclass(frozen=True, slots=True)
class Translation:
    """What a configuration says here.

    :ivar config: the keys.
    :ivar notes: what has become of each old key.
    """

    config: Mapping[str, Any] = field(repr=False)
    notes: Notes

    def as_yaml(self) -> str:
        """Write the configuration file, with what is to be decided as comments."""
        lines = [_HEADING]
        for note in self.notes.items:
            if note.result == "not-translatable":
                lines.append(f"# not translated: {_in_one_line(note)}\n")
            elif note.result == "changed":
                lines.append(f"# {_in_one_line(note)}\n")
        text: str = yaml.safe_dump(dict(self.config), sort_keys=False, allow_unicode=True)
        return "".join(lines) + text


def translate(text: str) -> Translation:
    """Translate a configuration.

    :param text: what is in its file.
    :raises NoSource: if it is no YAML with keys.
    """
    try:
        data = load_yaml(text)
    except ValueError as error:
        raise NoSource(f"it is not valid YAML: {error}") from None
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        raise NoSource(f"found {describe(data)}, but a configuration has keys")
    notes = Notes()
    keys = Keys(data, "", notes)
    transfers = translate_adapters(keys.take("TRANSFER_ADAPTERS"), notes)
    config: dict[str, Any] = {}
    if transfers.storage is not None:
        config["storage"] = transfers.storage
    else:
        # None of ours stands for it, and the default would hide that it is missing.
        config["storage"] = {"type": "not-translated"}
    config["auth"] = translate_providers(keys.take("AUTH_PROVIDERS"), notes)
    if not config["auth"]:
        notes.refused("AUTH_PROVIDERS", "nothing is left: say under 'auth' who may do what")
    if transfers.actions:
        config["actions"] = transfers.actions
    action_provider = keys.inside("PRE_AUTHORIZED_ACTION_PROVIDER")
    options = action_provider.inside("options")
    words = (
        "the tokens of actions have a secret of their own, which is made at the first start; if"
        " you give out tokens that are signed with this key, add a provider of type jwt for it"
    )
    action_provider.unneeded(words)
    options.unneeded(words)
    config.update(_middleware(keys.take("MIDDLEWARE"), notes))
    keys.unneeded("URLs work with and without .git/info/lfs", "LEGACY_ENDPOINTS")
    keys.unneeded("has no effect", "TESTING", "DEBUG")
    keys.end()
    return Translation(config, notes)


def _middleware(value: object, notes: Notes) -> dict[str, Any]:
    path, config = "MIDDLEWARE", dict[str, Any]()
    if value is not None and not isinstance(value, list):
        notes.refused(path, f"found {describe(value)}, which is no list")
        return config
    for index, spec in enumerate(value or ()):
        keys = Keys(spec, f"{path}.{index}", notes)
        name, options = keys.take("class"), keys.inside("kwargs")
        arguments = keys.take("args")
        keys.end()
        if name == _PROXY_FIX:
            notes.refused(
                keys.at("class"),
                "set trusted_proxies to the addresses of your proxies: only those are believed,"
                " and not whoever connects; if a path is put in front, set public_url",
            )
            options.unneeded("see trusted_proxies")
        elif name == _CORS and not arguments:
            if (origin := options.text("origin")) is not None:
                config["cors"] = {"origins": [origin]}
                notes.translated(options.at("origin"), "cors.origins")
            notes.translated(keys.at("class"), "cors")
            options.unneeded("the methods and headers of Git LFS are allowed")
        else:
            notes.refused(
                keys.at("class"), "there is no WSGI here; a proxy in front, or a plugin, may do it"
            )
            options.end("belongs to middleware that cannot be translated")
    return config


def _in_one_line(note: Note) -> str:
    return " ".join(f"{note.key}: {note.words}".split())
