"""What Azure's answers mean (its reference, "Status and error codes")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from giftless.base.http_client import Answer
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.listing import Entry, EntryPage
from giftless.storage.remote.xml_answers import document, instant, number

#: What a code says about the configuration: the option, and what is wrong.
#: ``credential`` stands for the option that the credential is from.
MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "ContainerNotFound": ("container", "there is no such container"),
    "ContainerBeingDeleted": ("container", "the container is being deleted"),
    "ContainerDisabled": ("container", "the container is disabled"),
    "InvalidResourceName": ("container", "this is no container's name"),
    "ResourceNotFound": ("container", "there is no such container"),
    "AuthenticationFailed": (
        "credential",
        "Azure does not accept the signature: wrong key, or this machine's clock is wrong",
    ),
    "InvalidAuthenticationInfo": ("credential", "Azure does not accept the token"),
    "KeyBasedAuthenticationNotPermitted": (
        "credential",
        "the account does not permit account keys; use an identity",
    ),
    "AuthorizationFailure": (
        "credential",
        "the account's firewall does not let this machine in, or it is the wrong key",
    ),
    "AccountIsDisabled": ("account", "the account is disabled"),
    "InsufficientAccountPermissions": ("account", "the account does not permit this"),
}


#: The metadata of an empty blob that is no object, and there only to be removed.
DISCARDED: Final = "giftlessdiscarded"

#: The states of copies that will not be made.
FAILED: Final = frozenset({"failed", "aborted"})

#: The codes of a marker that Azure has not given.
WRONG_MARKER: Final = frozenset({"InvalidQueryParameterValue", "OutOfRangeInput"})


def error_code(answer: Answer) -> str:
    """Return the code of an error; empty if there is none, as in other servers' answers."""
    if code := answer.headers.get("x-ms-error-code", ""):
        return code
    match = re.search(rb"<Code>([A-Za-z0-9]+)</Code>", answer.body)
    return match[1].decode() if match else ""


def copy_status(answer: Answer) -> str:
    """Return how far a blob has been copied: ``success`` also if it is no copy."""
    return answer.headers.get("x-ms-copy-status", "success")


def describe(answer: Answer) -> StoreError:
    """Say in words what an answer means that is no success.

    Never with Azure's message: it may quote what was signed.
    """
    code = error_code(answer)
    text = f"Azure answers with status {answer.status} {code}".rstrip()
    if code in MEANINGS:
        text += f": {MEANINGS[code][1]}"
    return StoreError(text)


def read_list(answer: Answer) -> EntryPage:
    """Read an answer to "List Blobs", with metadata.

    :raises StoreError: if it is none, or not all of one.
    """
    listed = document(answer, "EnumerationResults")
    blobs, marker = listed.find("Blobs"), listed.find("NextMarker")
    if blobs is None or marker is None:
        raise StoreError("Azure's list of blobs is not all there")
    entries = [_read_blob(blob) for blob in blobs.iterfind("Blob") if _is_object(blob)]
    return EntryPage(entries, marker.text or None)


def _read_blob(blob: Element) -> Entry:
    name, properties = blob.find("Name"), blob.find("Properties")
    if name is None or properties is None:
        raise StoreError("Azure lists a blob without a name or properties")
    decoded = name.text or ""
    # Names with characters that XML cannot have.
    if name.get("Encoded") == "true":
        decoded = unquote(decoded)
    return Entry(
        decoded, number(properties, "Content-Length"), instant(properties, "Last-Modified")
    )


def _is_object(blob: Element) -> bool:
    """Whether a blob is not what an abort, or a copy that is not made, has left behind."""
    if blob.findtext("Properties/CopyStatus", "success") != "success":
        return False
    kept = blob.find("Metadata")
    length = blob.findtext("Properties/Content-Length")
    return length != "0" or kept is None or all(m.tag.lower() != DISCARDED for m in kept)
