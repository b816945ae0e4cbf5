"""Windows: large for one session, small for many, bounded for all."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.sshd.windows import LARGEST, OF_CONNECTION, OF_PROCESS, SMALLEST, Windows


class WindowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.windows = Windows()

    def test_one_session_alone_has_a_large_window(self) -> None:
        self.windows.channels = 1
        self.assertEqual(self.windows.size(1), LARGEST)

    def test_the_channels_of_a_connection_share_what_it_may_have(self) -> None:
        for channels in (8, 64):
            self.windows.channels = channels
            self.assertLessEqual(channels * self.windows.size(channels), OF_CONNECTION)

    def test_all_connections_share_what_the_process_may_have(self) -> None:
        self.windows.channels = 1000
        self.assertLessEqual(1000 * self.windows.size(1), OF_PROCESS)

    def test_each_has_enough_to_go_on(self) -> None:
        self.windows.channels = 1_000_000
        self.assertEqual(self.windows.size(64), SMALLEST)
