"""Packets: as Conch reads and writes them, and not to be tampered with."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.conch.ssh.transport import SSHCiphers
from twisted.trial.unittest import SynchronousTestCase

from giftless.sshd.algorithms import CIPHERS, MACS
from giftless.sshd.errors import BrokenProtocol
from giftless.sshd.packets import MAX_PACKET, Opener, Sealer


def pair(cipher: bytes, mac: bytes) -> tuple[Sealer, Opener]:
    """Return both ends of one direction, with keys."""
    keys = [os.urandom(64) for _ in range(3)]
    ours = SSHCiphers(cipher, cipher, mac, mac)
    ours.setKeys(keys[0], keys[1], keys[0], keys[1], keys[2], keys[2])
    theirs = SSHCiphers(cipher, cipher, mac, mac)
    theirs.setKeys(keys[0], keys[1], keys[0], keys[1], keys[2], keys[2])
    return Sealer(ours), Opener(theirs)


class PacketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sealer, self.opener = pair(CIPHERS[0], MACS[0])

    def test_what_is_sealed_is_opened_with_each_algorithm(self) -> None:
        for cipher in CIPHERS:
            for mac in MACS:
                sealer, opener = pair(cipher, mac)
                for sequence in (0, 1, 2**32 - 1, 2**32):
                    opener.feed(b"".join(sealer.seal(sequence, b"x" * 1000)))
                    self.assertEqual(opener.next(sequence), b"x" * 1000)

    def test_conch_makes_the_same_of_keys(self) -> None:
        """What is used of its ciphers is not all public."""
        cipher = SSHCiphers(CIPHERS[0], CIPHERS[0], MACS[0], MACS[0])
        cipher.setKeys(b"i" * 64, b"k" * 64, b"i" * 64, b"k" * 64, b"m" * 64, b"m" * 64)
        encrypted, digest = Sealer(cipher).seal(7, b"hello")
        other = SSHCiphers(CIPHERS[0], CIPHERS[0], MACS[0], MACS[0])
        other.setKeys(b"i" * 64, b"k" * 64, b"i" * 64, b"k" * 64, b"m" * 64, b"m" * 64)
        packet = other.decrypt(encrypted)
        self.assertTrue(other.verify(7, packet, digest))
        self.assertEqual(packet[5 : 5 + 5], b"hello")

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.binary(min_size=1, max_size=200), max_size=10), st.integers(1, 50))
    def test_packets_are_whole_however_they_arrive(self, payloads: list[bytes], piece: int) -> None:
        sealer, opener = pair(CIPHERS[0], MACS[0])
        data = b"".join(
            b"".join(sealer.seal(number, payload)) for number, payload in enumerate(payloads)
        )
        opened: list[bytes] = []
        for begin in range(0, len(data), piece):
            opener.feed(data[begin : begin + piece])
            while (payload := opener.next(len(opened))) is not None:
                opened.append(payload)
        self.assertEqual(opened, payloads)

    def test_a_changed_packet_is_noticed(self) -> None:
        encrypted, digest = self.sealer.seal(0, b"hello, world, and everybody")
        self.opener.feed(encrypted[:20] + bytes([encrypted[20] ^ 1]) + encrypted[21:] + digest)
        self.assertRaises(BrokenProtocol, self.opener.next, 0)

    def test_a_packet_that_is_left_out_is_noticed(self) -> None:
        self.sealer.seal(0, b"first")
        self.opener.feed(b"".join(self.sealer.seal(1, b"second")))
        self.assertRaises(BrokenProtocol, self.opener.next, 0)

    def test_a_packet_is_not_waited_for_that_is_too_long(self) -> None:
        encrypted, _ = self.sealer.seal(0, bytes(MAX_PACKET + 100))
        self.opener.feed(encrypted[:16])
        self.assertRaises(BrokenProtocol, self.opener.next, 0)

    def test_what_follows_belongs_to_the_next_keys(self) -> None:
        self.opener.feed(b"".join(self.sealer.seal(0, b"last")) + b"rest")
        self.assertEqual(self.opener.next(0), b"last")
        self.assertEqual(self.opener.rest(), b"rest")
