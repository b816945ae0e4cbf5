"""The cipher of rudolfs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from giftless.importing.xchacha20 import hchacha20, xchacha20

KEY = bytes.fromhex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f")


class CipherTests(SynchronousTestCase):
    def test_hchacha20_derives_the_published_key(self) -> None:
        """draft-irtf-cfrg-xchacha-03, section 2.2.1."""
        nonce = bytes.fromhex("000000090000004a0000000031415927")
        self.assertEqual(
            hchacha20(bytes(range(32)), nonce).hex(),
            "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc",
        )

    def test_xchacha20_makes_the_published_stream(self) -> None:
        """draft-irtf-cfrg-xchacha-03, appendix A.3.2.1: with the counter 0."""
        nonce = bytes.fromhex("404142434445464748494a4b4c4d4e4f5051525354555658")
        plain = bytes.fromhex(
            "5468652064686f6c65202870726f6e6f756e6365642022646f6c652229206973"
            "20616c736f206b6e6f776e2061732074686520417369617469632077696c6420"
        )
        self.assertEqual(
            xchacha20(KEY, nonce).update(plain).hex(),
            "4559abba4e48c16102e8bb2c05e6947f50a786de162f9b0b7e592a9b53d0d4e9"
            "8d8d6410d540a1a6375b26d80dace4fab52384c731acbf16a5923c0c48d3575d",
        )

    @given(st.binary(max_size=300), st.integers(0, 300))
    def test_a_stream_may_be_cut_anywhere(self, data: bytes, at: int) -> None:
        nonce = bytes(24)
        stream = xchacha20(KEY, nonce)
        self.assertEqual(
            stream.update(data[:at]) + stream.update(data[at:]), xchacha20(KEY, nonce).update(data)
        )

    def test_keys_and_nonces_have_one_length(self) -> None:
        for key, nonce in ((KEY[:-1], bytes(24)), (KEY, bytes(12))):
            with self.assertRaises(ValueError):
                xchacha20(key, nonce)
