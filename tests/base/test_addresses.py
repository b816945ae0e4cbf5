"""Which addresses may be dialled."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.base.addresses import may_dial, parse_network

#: Addresses that lead to the server itself, to its network, or nowhere.
REFUSED = (
    *("127.0.0.1", "127.255.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16"),
    *("192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254"),
    *("ff02::1", "2001:db8::1", "100::1", "2001:db8:1::1"),
    # IPv4 in IPv6: mapped, compatible, translated, 6to4, Teredo.
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "::7f00:1"),
    *("64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1"),
    *("2002:808:808::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "::ffff:0:127.0.0.1"),
    # No addresses.
    *("localhost", "", "127.1", "2130706433", "0x7f.1", "1.2.3.4.5"),
)

PUBLIC = (
    *("1.1.1.1", "8.8.8.8", "172.32.0.1", "192.169.0.1", "100.128.0.1", "168.63.129.17"),
    *("2606:4700:4700::1111", "2a00:1450:4001:80e::200e", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
)


class AddressTests(SynchronousTestCase):
    def test_what_is_not_public_is_refused(self) -> None:
        for address in REFUSED:
            self.assertFalse(may_dial(address, ()), address)

    def test_what_is_public_may_be_dialled(self) -> None:
        for address in PUBLIC:
            self.assertTrue(may_dial(address, ()), address)

    def test_networks_can_be_allowed_however_an_address_is_written(self) -> None:
        networks = [parse_network("127.0.0.0/8"), parse_network("fd12::/16")]
        for address in ("127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "fd12::5", "1.1.1.1"):
            self.assertTrue(may_dial(address, networks), address)
        for address in ("10.0.0.1", "::1", "fd13::5", "169.254.169.254"):
            self.assertFalse(may_dial(address, networks), address)

    def test_one_address_is_a_network_too(self) -> None:
        networks = [parse_network("10.1.2.3")]
        self.assertTrue(may_dial("10.1.2.3", networks))
        self.assertFalse(may_dial("10.1.2.4", networks))
