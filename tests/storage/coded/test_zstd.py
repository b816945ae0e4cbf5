"""Frames are packed in several threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from twisted.trial.unittest import SynchronousTestCase

from giftless.storage.coded.zstd import Packer, unpack


class PackerTests(SynchronousTestCase):
    def test_several_threads_pack_at_once(self) -> None:
        packer = Packer(3)
        pieces = [b"%d bottles of beer\n" % number * 10_000 for number in range(40)]
        with ThreadPoolExecutor(4) as threads:
            frames = list(threads.map(packer.pack, pieces))
        self.assertEqual(
            [unpack(frame, len(piece)) for frame, piece in zip(frames, pieces, strict=True)], pieces
        )
        self.assertLessEqual(len(packer._idle), 4)

    def test_frames_that_come_one_after_the_other_share_their_memory(self) -> None:
        packer = Packer(3)
        for _ in range(5):
            with ThreadPoolExecutor(1) as thread:
                thread.submit(packer.pack, b"frame").result()
        self.assertEqual(len(packer._idle), 1)
