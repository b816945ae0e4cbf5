"""How many processors ``workers: auto`` finds."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from giftless.app.config import Config
from giftless.app.cpus import available, number_of_workers
from giftless.ssh.options import SSHOptions


class AvailableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.groups = Path(self.mktemp())
        self.own = self.groups / "own"
        (self.groups / "a.slice" / "b.service").mkdir(parents=True)
        self.patch(os, "sched_getaffinity", lambda pid: set(range(8)))

    def count(self, **quotas: str) -> int:
        """Count in /a.slice/b.service, where groups have these ``cpu.max``."""
        self.own.write_text("1:pids:/elsewhere\n0::/a.slice/b.service\n")
        for name, quota in quotas.items():
            group = {"root": "", "slice": "a.slice", "service": "a.slice/b.service"}[name]
            (self.groups / group / "cpu.max").write_text(quota)
        return available(self.groups, self.own)

    def test_this_machine_has_some_processors(self) -> None:
        self.assertIn(available(), range(1, 9))

    def test_no_limit_means_all_processors(self) -> None:
        self.assertEqual(self.count(), 8)
        self.assertEqual(self.count(slice="max 100000\n", service="max 100000\n"), 8)

    def test_a_quota_of_its_own_or_of_a_group_above(self) -> None:
        self.assertEqual(self.count(service="200000 100000\n"), 2)
        self.assertEqual(self.count(slice="100000 100000\n"), 1)

    def test_the_root_of_a_container(self) -> None:
        self.assertEqual(self.count(root="400000 100000\n"), 4)

    def test_a_group_may_have_any_name(self) -> None:
        for name in (b"\xff", "\u2028".encode(), b"\x0b"):
            group = os.path.join(os.fsencode(self.groups), name)
            os.mkdir(group)
            Path(os.fsdecode(group), "cpu.max").write_text("300000 100000\n")
            self.own.write_bytes(b"0::/%b\n" % name)
            self.assertEqual(available(self.groups, self.own), 3)

    def test_a_part_of_a_processor_is_one(self) -> None:
        self.assertEqual(self.count(service="150000 100000\n"), 2)
        self.assertEqual(self.count(service="10000 100000\n"), 1)

    def test_a_quota_beyond_what_there_is(self) -> None:
        self.assertEqual(self.count(service="6400000 100000\n"), 8)

    def test_processors_of_cgroups_of_version_1(self) -> None:
        """A service is named below the mount of its controller; a container is that itself."""
        controller = self.groups / "cpu"
        (controller / "docker" / "abc").mkdir(parents=True)
        self.own.write_text("3:cpu,cpuacct:/docker/abc\n2:memory:/docker/abc\n0::/\n")
        for group in (controller, controller / "docker" / "abc"):
            for quota, expected in (("-1\n", 8), ("150000\n", 2)):
                (group / "cpu.cfs_quota_us").write_text(quota)
                (group / "cpu.cfs_period_us").write_text("100000\n")
                self.assertEqual(available(self.groups, self.own), expected)
            (group / "cpu.cfs_quota_us").unlink()

    def test_controllers_of_version_1_that_are_mounted_together(self) -> None:
        """Not everybody makes links with the name of each."""
        controllers = self.groups / "cpu,cpuacct"
        (controllers / "docker").mkdir(parents=True)
        self.own.write_text("3:cpu,cpuacct:/docker\n")
        (controllers / "docker" / "cpu.cfs_quota_us").write_text("300000\n")
        (controllers / "docker" / "cpu.cfs_period_us").write_text("100000\n")
        self.assertEqual(available(self.groups, self.own), 3)
        (self.groups / "cpu").symlink_to(controllers.name)
        self.assertEqual(available(self.groups, self.own), 3)

    def test_a_group_inside_of_a_container_whose_own_is_the_topmost(self) -> None:
        (self.groups / "service").mkdir()
        (self.groups / "service" / "cpu.max").write_text("200000 100000\n")
        (self.groups / "cpu.max").write_text("400000 100000\n")
        for path, expected in (("/docker/abc/service", 2), ("/docker/abc", 4), ("/../service", 4)):
            self.own.write_text(f"0::{path}\n")
            self.assertEqual(available(self.groups, self.own), expected)

    def test_a_group_outside_of_a_container(self) -> None:
        self.count(root="200000 100000\n")
        self.own.write_text("0::/../../elsewhere\n")
        self.assertEqual(available(self.groups, self.own), 2)

    def test_missing_groups_mean_all_processors(self) -> None:
        self.assertEqual(available(self.groups, self.groups / "nowhere"), 8)
        self.own.write_text("1:cpu:/elsewhere\n")
        self.assertEqual(available(self.groups, self.own), 8)


class NumberOfWorkersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.groups = Path(self.mktemp())
        self.groups.mkdir()
        self.own = self.groups / "own"
        self.patch(os, "sched_getaffinity", lambda pid: set(range(8)))

    def count(self, limit: str, options: Config | None = None, file: str = "memory.max") -> int:
        """Count in a container that has this much memory."""
        self.own.write_text("1:memory:/x\n" if "limit" in file else "0::/\n")
        path = self.groups / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{limit}\n")
        return number_of_workers(options or Config(workers="auto"), self.groups, self.own)

    def test_a_number_is_that_number(self) -> None:
        self.assertEqual(self.count("1", Config(workers=5)), 5)

    def test_as_many_as_have_room_during_a_reload(self) -> None:
        mib = 1024 * 1024
        for limit, expected in (("max", 8), (64 * mib, 1), (576 * mib, 1), (2048 * mib, 3)):
            self.assertEqual(self.count(str(limit)), expected)
        self.assertEqual(self.count(str(64 * 1024 * mib)), 8)

    def test_processes_for_ssh_need_room_as_well(self) -> None:
        options = Config(workers="auto", ssh=SSHOptions(endpoints=["tcp:2222"]))
        self.assertEqual(self.count(str(1800 * 1024 * 1024), options), 2)

    def test_memory_of_cgroups_of_version_1(self) -> None:
        file = "memory/memory.limit_in_bytes"
        self.assertEqual(self.count(str(576 * 1024 * 1024), file=file), 1)
        self.assertEqual(self.count("9223372036854771712", file=file), 8)
