"""Which processes a configuration wants, and what these are told."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from giftless.app.config import Loaded, parse
from giftless.runtime.orders import log_format_of, read_ssh_orders
from giftless.runtime.plans import PATIENCE, environment_of_ssh, plan_ssh, plan_workers
from giftless.runtime.sockets.endpoints import places

SECRET = "do-not-tell-this-to-anybody-at-all"

TEXT = f"""
workers: 3
secret: {SECRET}
shutdown_timeout: 7
state_dir: state
admin: {{endpoints: ["tcp:9090"]}}
ssh:
  endpoints: ["tcp:2222", "tcp:2223"]
  host_keys: [/etc/key]
  keys: [{{type: github, token: {SECRET}}}]
  processes: 2
  login_timeout: 30s
"""


def load(text: str = TEXT) -> Loaded:
    return parse("giftless.yaml", text, {})


class PlanTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.loaded = load()
        self.descriptors = {
            endpoint: number for number, endpoint in enumerate(places(self.loaded.config), 10)
        }

    def test_each_kind_inherits_its_own_sockets(self) -> None:
        workers = plan_workers(self.loaded, self.descriptors, "json", 5)
        ssh = plan_ssh(self.loaded, self.descriptors, "json", 5)
        self.assertEqual((workers.number, list(workers.sockets)), (3, [10, 11]))
        self.assertEqual((ssh.number, list(ssh.sockets)), (2, [12, 13]))
        self.assertEqual(ssh.patience, 7 + PATIENCE)

    def test_what_serves_ssh_is_told_no_secret(self) -> None:
        plan = plan_ssh(self.loaded, self.descriptors, "json", 5)
        self.assertNotIn(SECRET.encode(), plan.orders)
        orders = read_ssh_orders(plan.orders)
        self.assertEqual(log_format_of(plan.orders), "json")
        self.assertEqual(orders.endpoints, ["tcp:2222", "tcp:2223"])
        self.assertEqual(orders.options.host_keys, ["/etc/key"])
        self.assertEqual(orders.options.socket, "state/ssh.sock")
        self.assertEqual(orders.options.login_timeout, 30)

    def test_without_endpoints_nothing_serves_ssh(self) -> None:
        loaded = load("{}")
        descriptors = dict.fromkeys(places(loaded.config), 10)
        self.assertEqual(plan_ssh(loaded, descriptors, "text", 5).number, 0)

    def test_what_serves_ssh_inherits_nothing_that_could_be_secret(self) -> None:
        environ = {
            "PATH": "/bin",
            "LC_ALL": "C",
            "PYTHONHASHSEED": "0",
            "GIFTLESS_SECRET": SECRET,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "HTTPS_PROXY": f"http://user:{SECRET}@proxy",
        }
        self.assertEqual(
            environment_of_ssh(environ), {"PATH": "/bin", "LC_ALL": "C", "PYTHONHASHSEED": "0"}
        )
