"""The rules for buckets that the pages show, against the vendor's own model of them."""

from __future__ import annotations

import json
from typing import Any

from botocore.session import get_session
from botocore.validate import validate_parameters
from twisted.trial.unittest import SynchronousTestCase

from giftless.auth.actions import ActionOptions
from tests.docs.pages import DOCS, code


def rule(page: str, key: str) -> dict[str, Any]:
    """Return the JSON of a page that has ``key`` at its top."""
    blocks = [json.loads(block.content) for block in code(DOCS / "storage" / page, "json")]
    (found,) = [block for block in blocks if key in block]
    content: dict[str, Any] = found
    return content


class S3Tests(SynchronousTestCase):
    """The page about S3."""

    def assert_valid(self, operation: str, member: str, content: dict[str, Any]) -> None:
        """Check that AWS's own tools would send it."""
        shape = get_session().get_service_model("s3").operation_model(operation).input_shape
        validate_parameters({"Bucket": "example-lfs", member: content}, shape)

    def test_the_lifecycle_rule_is_valid_and_late_enough(self) -> None:
        content = rule("s3.rst", "Rules")
        self.assert_valid("PutBucketLifecycleConfiguration", "LifecycleConfiguration", content)
        (only,) = content["Rules"]
        days = only["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        self.assertGreater(days * 86_400, ActionOptions().multipart_lifetime)

    def test_the_cors_rule_is_valid(self) -> None:
        content = rule("s3.rst", "CORSRules")
        self.assert_valid("PutBucketCors", "CORSConfiguration", content)


class GoogleTests(SynchronousTestCase):
    """The page about Cloud Storage, as far as it can be told here."""

    def test_the_lifecycle_rule_is_late_enough(self) -> None:
        (only,) = rule("gcs.rst", "rule")["rule"]
        self.assertEqual(only["action"], {"type": "AbortIncompleteMultipartUpload"})
        self.assertGreater(only["condition"]["age"] * 86_400, ActionOptions().multipart_lifetime)
