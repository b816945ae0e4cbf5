"""What Cloud Storage's answers mean (its XML API's reference, "HTTP response codes")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from giftless.base.http_client import Answer
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.xml_answers import element, error_code


def is_from_gcs(answer: Answer) -> bool:
    """Whether an answer bears the marks of the store itself, not of a server between."""
    marks = ("x-goog-", "x-guploader-")
    return any(name.startswith(marks) for name in answer.headers) or bool(error_code(answer))


def digests_of(answer: Answer) -> Mapping[str, str]:
    """Return the digests of an object's bytes that an answer to HEAD tells, by their kinds."""
    pairs = (
        pair.strip().partition("=") for pair in answer.headers.get("x-goog-hash", "").split(",")
    )
    return {kind: digest for kind, _, digest in pairs if digest}


def describe(answer: Answer) -> StoreError:
    """Say in words what an answer means that is no success."""
    code = error_code(answer)
    text = f"Cloud Storage answers with status {answer.status}"
    if code:
        text += f" {code}: {element(answer, 'Message') or 'no message'}"
        if details := element(answer, "Details"):
            text += f" {details}"
    if answer.status == 403 and not code:
        text += (
            ": the credential is not good, or may not read objects; without"
            " storage.objects.list on the bucket, the store says the same of objects"
            " that are absent"
        )
    return StoreError(text)


#: What a code says about the configuration: the option (empty: that of the
#: credential), and what is wrong.
MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "NoSuchBucket": ("bucket", "there is no such bucket"),
    "InvalidBucketName": ("bucket", "this is no bucket's name"),
    "InvalidAccessKeyId": ("hmac_access_key", "the store does not know this access key"),
    "InvalidSecurity": ("", "the store does not take this credential"),
    "AuthenticationRequired": ("", "the store does not take this credential"),
    "ExpiredToken": ("", "the credential has expired"),
    "SignatureDoesNotMatch": ("", "the store refuses what this key signs"),
}
