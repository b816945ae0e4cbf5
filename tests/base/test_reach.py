"""Where a server may lead its client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from giftless.base.addresses import nearness, parse_network
from giftless.base.reach import Reach
from giftless.lfs.objects import Operation
from tests.client.support import ClientTestCase, SmallServer, oid_of
from tests.support.reactor import reactor
from tests.support.run import CoroutineTestCase

METADATA = "169.254.169.254"


class NearnessTests(CoroutineTestCase):
    def test_addresses_are_told_apart(self) -> None:
        for address, near in (
            ("93.184.216.34", 0),
            ("2606:4700::1111", 0),
            ("10.1.2.3", 1),
            ("192.168.0.1", 1),
            ("172.16.9.9", 1),
            ("100.64.0.1", 1),
            ("fd00::1", 1),
            ("::ffff:10.1.2.3", 1),
            ("127.0.0.1", 2),
            ("::1", 2),
            ("::ffff:127.0.0.1", 2),
            (METADATA, 3),
            ("fe80::1", 3),
            ("168.63.129.16", 3),
            ("0.0.0.0", 3),
            ("224.0.0.1", 3),
            ("64:ff9b::a9fe:a9fe", 3),
            ("no address", 3),
        ):
            self.assertEqual(nearness(address), near, address)


class ReachTests(CoroutineTestCase):
    def may(self, own: Sequence[str], address: str, *networks: str) -> bool:
        """Whether a server of some addresses may lead to another one."""
        names: Mapping[str, Sequence[str]] = {"own.example": own}

        async def lookup(host: str) -> Sequence[str]:
            if host not in names:
                raise OSError("it is not known")
            return names[host]

        reach = Reach(reactor, lookup, [parse_network(each) for each in networks])
        self.run_now(reach.begin_at("own.example"))
        return reach._may(address)

    def test_a_public_server_leads_to_public_addresses(self) -> None:
        self.assertTrue(self.may(["93.184.216.34"], "1.1.1.1"))
        for address in ("10.0.0.1", "127.0.0.1", "::1", METADATA):
            self.assertFalse(self.may(["93.184.216.34"], address), address)

    def test_a_private_server_leads_to_its_network_and_outside(self) -> None:
        for address in ("10.9.9.9", "192.168.1.1", "1.1.1.1"):
            self.assertTrue(self.may(["10.0.0.1"], address), address)
        for address in ("127.0.0.1", METADATA):
            self.assertFalse(self.may(["10.0.0.1"], address), address)

    def test_nobody_leads_to_the_metadata_of_a_cloud(self) -> None:
        self.assertFalse(self.may(["127.0.0.1"], METADATA))

    def test_a_name_with_a_public_and_a_private_address_counts_as_public(self) -> None:
        self.assertFalse(self.may(["93.184.216.34", "127.0.0.1"], "127.0.0.1"))

    def test_an_operator_may_allow_more(self) -> None:
        self.assertTrue(self.may(["93.184.216.34"], "10.0.0.1", "10.0.0.0/8"))

    def test_the_operator_may_name_a_server_that_is_near(self) -> None:
        self.assertTrue(self.may(["169.254.1.1"], "169.254.1.1"))
        self.assertFalse(self.may(["169.254.1.1"], METADATA))


class LedTests(ClientTestCase):
    async def test_an_action_to_a_private_address_is_not_followed(self) -> None:
        data = b"rocket"
        server = SmallServer(self, [data])

        async def lookup(host: str) -> Sequence[str]:
            # The server is as good as public here.
            return ["93.184.216.34"] if host == "own.example" else [host]

        reach = Reach(reactor, lookup, [parse_network("127.0.0.2")])
        await reach.begin_at("own.example")
        client = self.client(server.url.replace("127.0.0.1", "127.0.0.2"), dial=reach.dial)
        error = await self.failing(client.batch(Operation.DOWNLOAD, {oid_of(data): 6}))
        self.assertNotIn("--network", error.problem)  # nobody listens there
        client = self.client(server.url, dial=reach.dial)
        error = await self.failing(client.batch(Operation.DOWNLOAD, {oid_of(data): 6}))
        self.assertIn("127.0.0.1 has no address that this server may lead to", error.problem)
        self.assertEqual(server.http.asked, [])
