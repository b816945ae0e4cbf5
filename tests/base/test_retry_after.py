"""The Retry-After header."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.base.retry_after import retry_after


class RetryAfterTests(SynchronousTestCase):
    def test_seconds_and_dates_are_read(self) -> None:
        """Seconds and dates are read, nonsense is not."""
        now = 784111770.0
        for value, seconds in (
            ("7", 7),
            ("0", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 7),
            ("Sun, 06 Nov 1994 08:49:00 GMT", 0),
            ("soon", None),
            ("-1", None),
            ("²", None),
            ("", None),
            (None, None),
        ):
            self.assertEqual(retry_after(value, now), seconds, value)
