"""Where things belong on a machine."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from giftless.setup.asking import AskingProblem
from giftless.setup.machine import data_folder, layout, own_name


class LayoutTests(SynchronousTestCase):
    def test_root_has_the_places_of_the_machine(self) -> None:
        found = layout({"units": "/etc/systemd/system"}, {"HOME": "/root"}, root=True)
        self.assertEqual((found.config, found.user), ("/etc/giftless/giftless.yaml", "giftless"))
        self.assertIn("ExecStart=", found.unit)
        self.assertEqual(data_folder({}, root=True), "/var/lib/giftless")

    def test_others_have_places_of_their_own_and_no_units(self) -> None:
        environ = {"HOME": "/home/wanda"}
        found = layout({}, environ, root=False)
        self.assertEqual(found.config, "/home/wanda/.config/giftless/giftless.yaml")
        self.assertEqual((found.units, found.user), ("", own_name()))
        self.assertEqual(data_folder(environ, root=False), "/home/wanda/.local/share/giftless")

    def test_variables_name_other_places(self) -> None:
        environ = {"GIFTLESS_CONFIG": "/srv/g.yaml", "XDG_DATA_HOME": "/srv/data"}
        self.assertEqual(layout({}, environ, root=False).config, "/srv/g.yaml")
        self.assertEqual(data_folder(environ, root=False), "/srv/data/giftless")

    def test_ones_own_number_is_oneself_and_others_take_root(self) -> None:
        found = layout({"user": str(os.geteuid())}, {}, root=False)
        self.assertEqual(found.user, own_name())
        error = self.assertRaises(AskingProblem, layout, {"user": "somebody"}, {}, root=False)
        self.assertIn("--user", str(error))

    def test_a_service_finds_no_configuration_in_a_home(self) -> None:
        given = {"units": "/etc/systemd/system", "config": "/home/wanda/giftless.yaml"}
        error = self.assertRaises(AskingProblem, layout, given, {}, root=True)
        self.assertIn("--config", str(error))
