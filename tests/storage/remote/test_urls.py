"""Tests for giftless.storage.remote.urls."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.storage.remote.urls import bucket_url, shown_url


class ShownURLTests(SynchronousTestCase):
    def test_errors_show_neither_bucket_nor_path(self) -> None:
        for endpoint, virtual, shown in (
            ("https://s3.example.com", False, "https://s3.example.com"),
            ("http://127.0.0.1:9000/hunter2", False, "http://127.0.0.1:9000"),
            ("https://s3.example.com", True, "https://\u2026.s3.example.com"),
        ):
            url = bucket_url(endpoint, "hunter2", virtual)
            self.assertIn("hunter2", url)
            self.assertEqual(shown_url(url), shown)
