"""What is in the wheel and the source archive, and what ``twistd`` makes of it."""

from __future__ import annotations

import itertools
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from packaging.requirements import Requirement
from packaging.version import Version
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.support.processes import PATIENCE

ROOT = Path(__file__).resolve().parent.parent

#: What only a checkout has.
CHECKOUT_ONLY = {".gitignore"}

_BUILD = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])('out'))"


def copy_checkout(target: Path) -> None:
    """Copy the checkout, without what was made in it and is not part of it."""
    made = shutil.ignore_patterns(
        *(".git", ".venv", ".coverage*", ".hypothesis", "*_cache", "_trial_temp*", "_build"),
        *("build", "dist", "*.egg-info", "__pycache__", "giftless-data", "giftless-state"),
    )
    shutil.copytree(ROOT, target, ignore=made)


def build(source: Path, kind: str) -> Path:
    """Build ``wheel`` or ``sdist`` as pip and other front ends do, without a network.

    :param source: the folder with ``pyproject.toml``.
    :returns: the archive.
    """
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, f"build_{kind}"],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)
    return source / "out" / done.stdout.splitlines()[-1]


class ArchiveTests(SynchronousTestCase):
    """The two archives, built once from a copy of the checkout."""

    archives: ClassVar[tuple[Path, Path] | None] = None

    def setUp(self) -> None:
        if ArchiveTests.archives is None:
            source = Path(self.mktemp()).resolve() / "giftless"
            copy_checkout(source)
            # Something to pack by mistake: objects of a daemon run in the checkout.
            (source / "giftless-data" / "org").mkdir(parents=True)
            (source / "giftless-data" / "org" / "object").write_text("object")
            # The wheel is made from the source archive, so that is complete.
            sdist = build(source, "sdist")
            unpacked = source.parent / "unpacked"
            shutil.unpack_archive(sdist, unpacked)
            (top,) = unpacked.iterdir()
            ArchiveTests.archives = (sdist, build(top, "wheel"))
        self.sdist, self.wheel = ArchiveTests.archives

    def in_checkout(self, *folders: str) -> set[str]:
        """List the files of the package in the checkout."""
        return {
            str(path.relative_to(ROOT))
            for folder in folders
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and path.suffix != ".pyc" and path.name != "dropin.cache"
        }

    def test_wheel_is_the_package(self) -> None:
        """The wheel has every file of the package, the plugin file, and no other."""
        with zipfile.ZipFile(self.wheel) as archive:
            beside = (".dist-info/", ".data/")
            names = {n for n in archive.namelist() if not any(part in n for part in beside)}
        self.assertEqual(names, self.in_checkout("giftless", "twisted"))
        self.assertIn("giftless/py.typed", names)

    def test_wheel_has_what_operators_install(self) -> None:
        """The units of systemd and the configuration with every key."""
        with zipfile.ZipFile(self.wheel) as archive:
            names = {name.partition(".data/data/")[2] for name in archive.namelist()}
        wanted = {"share/giftless/giftless.yaml"}
        wanted |= {f"share/giftless/{name}" for name in self.in_checkout("systemd")}
        self.assertEqual(names - {""}, wanted)

    def test_wheel_leaves_twisted_alone(self) -> None:
        """One file goes into Twisted's plugin folder, which is not made a package of ours."""
        with zipfile.ZipFile(self.wheel) as archive:
            names = [name for name in archive.namelist() if name.startswith("twisted/")]
        self.assertEqual(names, ["twisted/plugins/giftless_plugin.py"])

    def test_wheel_has_the_licence(self) -> None:
        """The licence's text is in the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/LICENSE"))
            self.assertIn(b"Apache License", archive.read(name))

    def test_source_archive_has_everything(self) -> None:
        """Whatever is in git is in the source archive, and no object is."""
        with tarfile.open(self.sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        self.assertFalse([name for name in names if name.startswith("giftless-data")])
        if not (ROOT / ".git").exists():
            raise SkipTest("this is no git checkout")
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        tracked = {name for name in listed.split("\0") if name and (ROOT / name).exists()}
        self.assertEqual(tracked - CHECKOUT_ONLY - names, set())

    def test_twistd_finds_the_wheel(self) -> None:
        """With the wheel's files on the path, ``twistd`` lists giftless and can start it."""
        base = Path(self.mktemp()).resolve()
        site = base / "site"
        with zipfile.ZipFile(self.wheel) as archive:
            archive.extractall(site)
        twistd = "from twisted.scripts.twistd import run; run()"

        def run(*arguments: str) -> str:
            return subprocess.run(
                [sys.executable, "-P", "-c", *arguments],
                cwd=base,
                env={**os.environ, "PYTHONPATH": str(site)},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=True,
            ).stdout

        self.assertRegex(run(twistd, "--help"), r"\n\s+giftless\s+A Git LFS server")
        self.assertIn("the configuration is fine", run(twistd, "giftless", "--check"))
        self.assertIn(str(site), run("import giftless; print(giftless.__file__)"))


class LowestVersionTests(SynchronousTestCase):
    """The lowest versions that ``pyproject.toml`` names, which ``LOWEST=1`` installs."""

    #: What is not needed to test, and so not installed for it.
    others = ("lint", "docs", "release")

    def setUp(self) -> None:
        """Let the script print its constraints."""
        printed = subprocess.run(
            [sys.executable, ROOT / ".ci" / "lowest"], capture_output=True, text=True, check=True
        ).stdout
        self.lowest = dict(line.split("==") for line in printed.splitlines())

    def test_every_dependency_of_the_package_has_one(self) -> None:
        """No dependency of the installed package, whatever its extra, is left out."""
        for requirement in metadata.requires("giftless") or []:
            match = re.match(r"([\w.-]+)(?:\[[^]]*\])?(?:>=|==|~=)([\w.]+)", requirement)
            if requirement.startswith("giftless["):
                continue
            assert match is not None, requirement
            self.assertEqual(self.lowest.get(match[1]), match[2], requirement)

    def test_they_are_what_is_installed(self) -> None:
        """In an environment made with ``LOWEST=1``, each has exactly that version."""
        if not os.environ.get("LOWEST"):
            raise SkipTest("this environment is not made with LOWEST=1")
        elsewhere = {
            re.split(r"[^\w.-]", requirement)[0]
            for requirement in metadata.requires("giftless") or []
            if any(f'extra == "{extra}"' in requirement for extra in self.others)
        }
        for name, version in self.lowest.items():
            try:
                installed = metadata.version(name)
            except metadata.PackageNotFoundError:
                self.assertIn(name, elsewhere)
            else:
                self.assertRegex(installed, rf"^{re.escape(version)}(\.0|\.[0-9]{{8}})*$", name)


class PinnedTests(SynchronousTestCase):
    """The libraries of the Debian package."""

    def test_they_are_what_the_package_wants(self) -> None:
        """``etc/requirements.txt`` has a version of each dependency that is new enough."""
        text = (ROOT / "etc" / "requirements.txt").read_text()
        pinned = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", text))
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]
        (everything,) = extras["all"]
        wanted = [*project["dependencies"], *extras["ldap"]]
        for extra in Requirement(everything).extras:
            wanted += extras[extra]
        for requirement in map(Requirement, wanted):
            found = pinned.get(requirement.name.replace(".", "-"), "0")
            self.assertIn(Version(found), requirement.specifier, f"{requirement}: make pins")


class DebianVersionTests(SynchronousTestCase):
    """The version of the Debian package."""

    #: In the order of PEP 440.
    versions = (
        *("1.2.0.dev1", "1.2.0.dev10", "1.2.0a1.dev1", "1.2.0a1", "1.2.0a2", "1.2.0b1"),
        *("1.2.0rc1.dev3", "1.2.0rc1", "1.2.0rc1.post1", "1.2.0", "1.2.0+abc"),
        *("1.2.0.post1.dev1", "1.2.0.post1", "1.2.1.dev1", "1.2.1", "1.10.0"),
    )

    def setUp(self) -> None:
        """Load the script."""
        script = runpy.run_path(str(ROOT / ".ci" / "debian-version"))
        self.debian_version = script["debian_version"]

    def test_dpkg_orders_them_as_pip_does(self) -> None:
        """A development version is older than its release, and so on."""
        if shutil.which("dpkg") is None:
            raise SkipTest("there is no dpkg")
        self.assertEqual(sorted(self.versions, key=Version), list(self.versions))
        names = [f"{self.debian_version(version)}-1+deb12" for version in self.versions]
        for older, newer in itertools.pairwise(names):
            compared = subprocess.run(["dpkg", "--compare-versions", older, "lt", newer])
            self.assertEqual(compared.returncode, 0, f"{older} < {newer}")

    def test_another_form_is_refused(self) -> None:
        for version in ("1.2-final", "v1.2", "1!1.2", ""):
            with self.assertRaises(ValueError, msg=version):
                self.debian_version(version)
