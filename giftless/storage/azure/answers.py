"""What Azure's answers mean (its reference, "Status and error codes")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from giftless.base.http_client import Answer
from giftless.storage.remote.client import StoreError

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


def error_code(answer: Answer) -> str:
    """Return the code of an error; empty if there is none: it is not Azure's then."""
    if code := answer.headers.get("x-ms-error-code", ""):
        return code
    match = re.search(rb"<Code>([A-Za-z0-9]+)</Code>", answer.body)
    return match[1].decode() if match else ""


def describe(answer: Answer) -> StoreError:
    """Say in words what an answer means that is no success.

    Never with Azure's message: it may quote what was signed.
    """
    code = error_code(answer)
    text = f"Azure answers with status {answer.status} {code}".rstrip()
    if code in MEANINGS:
        text += f": {MEANINGS[code][1]}"
    return StoreError(text)
