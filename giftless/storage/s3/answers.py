"""What S3's answers mean (its API reference, "Error Responses")."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final

from giftless.base.http_client import Answer
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.xml_answers import element, error_code

_MD5: Final = re.compile(r"[0-9a-f]{32}")

#: The tag of what was made of parts: their number stands behind it.
_OF_PARTS: Final = re.compile(r".*-[0-9]{1,5}", re.ASCII)

_ENCRYPTION: Final = "x-amz-server-side-encryption"


def is_from_s3(answer: Answer) -> bool:
    """Whether an answer bears the marks of the store itself, not of a server between."""
    return any(name.startswith("x-amz-") for name in answer.headers) or bool(error_code(answer))


def region_of(answer: Answer) -> str:
    """Return the bucket's region, if an answer tells it; else an empty string."""
    return answer.headers.get("x-amz-bucket-region") or element(answer, "Region")


def describe(answer: Answer) -> StoreError:
    """Say in words what an answer means that is no success."""
    code = error_code(answer)
    text = f"S3 answers with status {answer.status}"
    if code:
        text += f" {code}: {element(answer, 'Message') or 'no message'}"
    if answer.status == 403 and not code:
        text += (
            ": the credential is not good, or may not read objects; without s3:ListBucket"
            " on the bucket, S3 says the same of objects that are absent"
        )
    if answer.status in (301, 307, 400) and (region := region_of(answer)):
        text += f" (the bucket is in {region})"
    return StoreError(text)


#: The codes of an upload whose bytes are not what was signed: Amazon's, MinIO's.
WRONG_BYTES: Final = frozenset(
    {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}
)

#: What a code says about the configuration: the option, and what is wrong.
MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "NoSuchBucket": ("bucket", "there is no such bucket"),
    "InvalidBucketName": ("bucket", "this is no bucket's name"),
    "InvalidAccessKeyId": ("access_key_id", "the store does not know this access key"),
    # versitygw's word for it.
    "XAdminUserNotFound": ("access_key_id", "the store does not know this access key"),
    "InvalidToken": ("access_key_id", "the temporary credentials are not valid"),
    "ExpiredToken": ("access_key_id", "the temporary credentials have expired"),
    "SignatureDoesNotMatch": ("secret_access_key", "the secret does not belong to the access key"),
    "PermanentRedirect": ("region", "the bucket is in another region"),
    "AuthorizationHeaderMalformed": ("region", "the bucket is in another region"),
    "IllegalLocationConstraintException": ("region", "the bucket is in another region"),
    "RequestTimeTooSkewed": ("", "the clocks of this machine and the store differ too much"),
}


def digests_of(answer: Answer) -> Mapping[str, str]:
    """Return the digests of an object's bytes that an answer to HEAD tells, by their kinds."""
    digests = {}
    if (sha256 := sha256_of(answer)) is not None:
        digests["SHA-256"] = sha256
    # The tag of what is made of parts, or encrypted with a key of its own, is no digest.
    tag = answer.headers.get("etag", "").strip('"')
    if _MD5.fullmatch(tag) and answer.headers.get(_ENCRYPTION, "AES256") == "AES256":
        digests["MD5"] = tag
    return digests


def sha256_of(answer: Answer) -> str | None:
    """Return the SHA-256 of a whole object in hexadecimal, if the store has kept it.

    An object that was uploaded in parts has a hash of hashes, with the number of parts
    behind it: that is none.  Whatever else a store says of such an object, a client has
    told it, and the store may not have compared it with the bytes.
    """
    if _OF_PARTS.fullmatch(answer.headers.get("etag", "").strip('"')):
        return None
    try:
        digest = base64.b64decode(answer.headers.get("x-amz-checksum-sha256", ""), validate=True)
    except ValueError:
        return None
    whole = answer.headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT"
    return digest.hex() if whole and len(digest) == 32 else None
