"""Translate ``TRANSFER_ADAPTERS``: where objects are, and how they get there.

Each adapter of the Flask giftless had a storage of its own; here one storage serves all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from giftless.importing.flask.keys import Keys, Notes

#: The directory of a configuration that names none.
_PATH: Final = "lfs-storage"

#: The factories, and whether clients go to the storage themselves.
_STREAMING, _EXTERNAL, _MULTIPART = (
    f"giftless.transfer.{name}:factory"
    for name in ("basic_streaming", "basic_external", "multipart")
)

#: What adapters are called that stay.
_NAMES: Final = {"basic": (_STREAMING, _EXTERNAL), "multipart-basic": (_MULTIPART,)}

#: What each storage class is called here.
_CLASSES: Final = {
    "giftless.storage.local_storage:LocalStorage": "local",
    "giftless.storage.amazon_s3:AmazonS3Storage": "s3",
    "giftless.storage.google_cloud:GoogleCloudStorage": "gcs",
    "giftless.storage.azure:AzureBlobsStorage": "azure",
}


@dataclass(slots=True)
class Transfers:
    """What adapters say here.

    :ivar storage: the section ``storage``; ``None`` if it cannot be translated.
    :ivar actions: the section ``actions``.
    """

    storage: dict[str, Any] | None
    actions: dict[str, Any]


def translate_adapters(value: object, notes: Notes) -> Transfers:
    """Translate the adapters and their storage."""
    adapters = Keys(value, "TRANSFER_ADAPTERS", notes)
    transfers = Transfers(None, {})
    if value is not None and not isinstance(value, Mapping):
        return transfers
    found: dict[str, dict[str, Any] | None] = {}
    names = adapters.names()
    for name in names:
        adapter = adapters.inside(name)
        if name in _NAMES:
            found[name] = _adapter(name, adapter, notes, transfers.actions)
        else:
            notes.refused(adapter.path, "is no adapter that there is here; write a plugin")
            adapter.unneeded("belongs to an adapter that cannot be translated")
    adapters.end()
    if "basic" not in names and "multipart-basic" in names:
        notes.changed(
            "TRANSFER_ADAPTERS.multipart-basic",
            "storage",
            f"clients that send no parts kept their objects in {_PATH}, since nothing else was"
            " said: import that directory (giftless import directory)",
        )
        transfers.storage = found["multipart-basic"]
    elif "basic" in names:
        transfers.storage = found["basic"]
        _compare(found, notes)
    else:
        transfers.storage = {"type": "local", "path": _PATH}
    return transfers


def _compare(found: Mapping[str, dict[str, Any] | None], notes: Notes) -> None:
    """Note that two adapters had two storages."""
    basic, parts = found["basic"], found.get("multipart-basic")
    if basic is None or parts is None:
        return
    # How an adapter moves bytes says nothing of where they are.
    ways = ("mode", "part_size")
    first, second = (
        {key: value for key, value in each.items() if key not in ways} for each in (basic, parts)
    )
    if first == second:
        basic.update({key: parts[key] for key in ("part_size",) if key in parts})
    else:
        notes.refused(
            "TRANSFER_ADAPTERS.multipart-basic.options.storage_options",
            "is another storage than that of basic, and there is one for all here: migrate its"
            " objects (giftless migrate)",
        )


def _adapter(
    name: str, adapter: Keys, notes: Notes, actions: dict[str, Any]
) -> dict[str, Any] | None:
    factory, path = adapter.text("factory"), adapter.at("factory")
    if factory is None:
        factory = _STREAMING if name == "basic" else ""
    elif factory in _NAMES[name]:
        notes.translated(path, "storage.mode" if name == "basic" else "transfers")
    options = adapter.inside("options")
    adapter.end()
    if factory not in _NAMES[name]:
        notes.refused(path, "is no such adapter of the Flask giftless; write a plugin")
        options.end("belongs to an adapter that cannot be translated")
        return None
    lifetime = "lifetime" if name == "basic" else "multipart_lifetime"
    if (seconds := options.number("action_lifetime")) is not None:
        actions[lifetime] = max(1, math.ceil(seconds))
        notes.translated(options.at("action_lifetime"), f"actions.{lifetime}")
    section = _storage(options, notes)
    if name == "multipart-basic" and (size := options.number("max_part_size")) is not None:
        if section is not None:
            section["part_size"] = max(1, int(size))
        notes.translated(options.at("max_part_size"), "storage.part_size")
    options.end()
    if section is not None and section["type"] != "local":
        section["mode"] = "proxy" if factory == _STREAMING else "direct"
    return section


def _storage(options: Keys, notes: Notes) -> dict[str, Any] | None:
    name, path = options.text("storage_class"), options.at("storage_class")
    kind = "local" if name is None else _CLASSES.get(name)
    inside = options.inside("storage_options")
    if kind is None:
        notes.refused(path, "is no storage of the Flask giftless; write a plugin")
        inside.end("belongs to a storage that cannot be translated")
        return None
    if name is not None:
        notes.translated(path, "storage.type")
    section = {"type": kind, **_KINDS[kind](inside, notes)}
    inside.unneeded("had no effect")
    return section


def _copied(keys: Keys, notes: Notes, **names: str) -> dict[str, Any]:
    """Take texts that are called otherwise here; by their names there."""
    found: dict[str, Any] = {}
    for name, ours in names.items():
        if (text := keys.text(name)) is not None:
            found[ours] = text.strip("/") if ours == "prefix" else text
            notes.translated(keys.at(name), f"storage.{ours}")
    return found


def _local(keys: Keys, notes: Notes) -> dict[str, Any]:
    return {"path": _PATH, **_copied(keys, notes, path="path")}


def _s3(keys: Keys, notes: Notes) -> dict[str, Any]:
    names = {"bucket_name": "bucket", "path_prefix": "prefix", "endpoint": "endpoint_url"}
    found = _copied(keys, notes, **names)
    if "bucket" not in found:
        notes.refused(keys.at("bucket_name"), "is missing")
    else:
        notes.changed(
            keys.at("bucket_name"),
            "storage.region",
            "boto3 found out the region (AWS_DEFAULT_REGION): set storage.region unless it is"
            " us-east-1; credentials are found as before",
        )
    return found


def _gcs(keys: Keys, notes: Notes) -> dict[str, Any]:
    found = _copied(
        keys,
        notes,
        bucket_name="bucket",
        path_prefix="prefix",
        account_key_file="credentials_file",
        serviceaccount_email="service_account_email",
    )
    if "bucket" not in found:
        notes.refused(keys.at("bucket_name"), "is missing")
    keys.unneeded("a bucket's name says enough", "project_name")
    if keys.text("account_key_base64") is not None:
        notes.refused(
            keys.at("account_key_base64"),
            "write it to a file by 'base64 --decode', and name that by storage.credentials_file",
        )
    return found


def _azure(keys: Keys, notes: Notes) -> dict[str, Any]:
    found = _copied(
        keys,
        notes,
        connection_string="connection_string",
        container_name="container",
        path_prefix="prefix",
    )
    for name, ours in (("connection_string", "connection_string"), ("container_name", "container")):
        if ours not in found:
            notes.refused(keys.at(name), "is missing")
    keys.unneeded("each object is compared with its oid in any case", "enable_content_digest")
    return found


_KINDS: Final[Mapping[str, Callable[[Keys, Notes], dict[str, Any]]]] = {
    "local": _local,
    "s3": _s3,
    "gcs": _gcs,
    "azure": _azure,
}
