"""What systemd is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.app.config import Config
from giftless.setup.units import Service, drop_in, memory_of, user_of
from tests.setup.support import Desk
from tests.test_operations import UNITS, analyze, unit

#: What the unit fits as it is.
PLAIN = Service(
    config="/etc/giftless/giftless.yaml",
    programs="/opt/giftless/bin",
    user="giftless",
    written=("/var/lib/giftless/objects", "/var/lib/giftless/state"),
    memory=576,
    low_port=False,
)


class DropInTests(SynchronousTestCase):
    def test_what_fits_is_not_changed(self) -> None:
        self.assertEqual([line for line in drop_in(PLAIN).splitlines() if line[:1] != "#"], [])
        text = (UNITS / "giftless.service").read_text()
        for words in (f"PATH={PLAIN.programs}:", PLAIN.config, f"User={PLAIN.user}\n"):
            self.assertIn(words, text)

    def test_memory_is_what_the_unit_says(self) -> None:
        self.assertEqual(unit("giftless.service")["MemoryMax"], [f"{memory_of(Config())}M"])
        self.assertEqual(memory_of(Config()), PLAIN.memory)
        self.assertIn(
            "MemoryMax=2112M", drop_in(replace(PLAIN, memory=memory_of(Config(workers=4))))
        )

    def test_systemd_takes_each_path_as_it_is(self) -> None:
        hostile = "/srv/a b\"c'd%h$HOME\\x; e"
        service = replace(
            PLAIN,
            config=f"{hostile}/giftless.yaml",
            programs=f"{hostile}/bin",
            user="lfs",
            written=(hostile,),
            memory=1600,
            low_port=True,
        )
        folder = Path(self.mktemp()).resolve()
        (folder / "giftless.service.d").mkdir(parents=True)
        path = folder / "giftless.service"
        path.write_text((UNITS / "giftless.service").read_text())
        (folder / "giftless.service.d" / "setup.conf").write_text(drop_in(service))
        done = analyze("verify", "--man=no", str(path))
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        rated = analyze("security", "--offline=true", str(path))
        self.assertIn("Overall exposure level", rated.stdout)

    def test_its_user_is_known(self) -> None:
        for user in ("lfs", "a%b"):
            text = drop_in(replace(PLAIN, user=user))
            self.assertEqual(user_of(text), user)
            self.assertIn("\nGroup=\n", text)
        self.assertEqual(user_of(drop_in(PLAIN)), "")

    def test_the_service_of_another_configuration_is_left_alone(self) -> None:
        desk = Desk(units="/etc/systemd/system")
        desk.run(tls="none")
        path = "/etc/systemd/system/giftless.service.d/setup.conf"
        for folder in ("/srv/a$b", "/srv/two"):
            other = Desk(folder, units="/etc/systemd/system")
            other.files = {each: desk.files[each] for each in desk.files if "systemd" in each}
            plan = other.run(tls="none")
            self.assertIn(f'--config "{folder.replace("$", "$$")}/', plan.by_hand[path])
            self.assertNotIn(path, [file.path for file in plan.files])

    def test_units_are_written_beside_the_configuration(self) -> None:
        desk = Desk(units="/etc/systemd/system")
        desk.run(tls="none", listen="80", local_path="/srv/lfs", workers="2")
        text = desk.files["/etc/systemd/system/giftless.service.d/setup.conf"].decode()
        self.assertIn('ReadWritePaths="/srv/lfs"\n', text)
        self.assertIn('RequiresMountsFor="/srv/lfs"\n', text)
        self.assertIn("CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n", text)
        self.assertIn("MemoryMax=1088M\n", text)
        self.assertIn("/etc/systemd/system/giftless.service", desk.files)
        desk.run(listen="8080")
        text = desk.files["/etc/systemd/system/giftless.service.d/setup.conf"].decode()
        self.assertNotIn("CAP_NET_BIND_SERVICE", text)
