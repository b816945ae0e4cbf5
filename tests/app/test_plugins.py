"""Finding plugins in folders, and building what the configuration selects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent
from twisted.plugin import IPlugin
from twisted.python.reflect import ObjectNotFound
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import twisted.plugins
from giftless import interfaces
from giftless.app import plugins
from giftless.app.plugins import LazyPlugin
from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.errors import ConfigError
from giftless.interfaces import (
    IAuthenticatorFactory,
    IStorageFactory,
    ITransferFactory,
)
from giftless.storage.local.store import LocalStore
from tests.support.logs import observe
from tests.support.making import environment, part_builder

#: A plugin file with a storage backend, as a third party writes it.
THIRD_PARTY = """
import msgspec
from twisted.plugin import IPlugin
from zope.interface import implementer
from giftless.errors import ConfigError
from giftless.interfaces import IStorageFactory
from tests.support.logs import observe

class Options(msgspec.Struct, frozen=True, kw_only=True):
    bucket: str
    size: int = 5

@implementer(IPlugin, IStorageFactory)
class Factory:
    name = "{name}"
    Options = Options

    def build(self, options, environment):
        if options.bucket == "bad":
            raise ConfigError("bucket", "found 'bad', allowed is anything else")
        return options, environment

plugin = Factory()
"""


class PluginTestCase(SynchronousTestCase):
    """A test case that can bring plugin files of its own.

    :ivar events: what is logged meanwhile.
    """

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        observe(self, self.events.append)
        self.patch(twisted.plugins, "__path__", list(twisted.plugins.__path__))

    def folder(self, **files: str) -> str:
        """Make a folder with plugin files, to be looked at from now on."""
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        for name, text in files.items():
            (directory / f"{name}.py").write_text(text)
            self.addCleanup(sys.modules.pop, f"twisted.plugins.{name}", None)
        plugins.add_directories([str(directory)])
        return str(directory)

    def assert_unusable(self, *names: str, because: str) -> None:
        """Check that plugins are told to be unusable, each with a reason."""
        told = "\n".join(plugins.unusable())
        for name in names:
            self.assertRegex(told, f"(?m)^plugin '?{name}'? cannot be used: .*{because}")

    def logged(self) -> str:
        """Return the texts of the log."""
        return "\n".join(formatEvent(event) for event in self.events)

    def build(self, section: Any, path: str = "storage") -> Any:
        """Build a storage backend."""
        return part_builder(reactor=Clock()).build(IStorageFactory, section, path)

    def refusal(self, section: Any, path: str = "storage") -> ConfigError:
        """Return why a storage backend cannot be built."""
        error: ConfigError = self.assertRaises(ConfigError, self.build, section, path)
        return error


class FindTests(PluginTestCase):
    def test_the_built_in_parts_are_plugins_like_any_other(self) -> None:
        for interface, name in (
            (IStorageFactory, "local"),
            (IAuthenticatorFactory, "anonymous"),
            (ITransferFactory, "basic"),
        ):
            found = plugins.find(interface)
            self.assertIn(name, found)
            for key, plugin in found.items():
                verifyObject(interface, plugin)
                verifyObject(IPlugin, plugin)
                self.assertEqual(plugin.name, key)

    def test_a_kind_has_only_its_own(self) -> None:
        self.assertNotIn("anonymous", plugins.find(IStorageFactory))
        self.assertNotIn("local", plugins.find(IAuthenticatorFactory))

    def test_a_file_in_another_folder_is_found(self) -> None:
        self.folder(gt_bucket=THIRD_PARTY.format(name="gt-bucket"))
        found = plugins.find(IStorageFactory)
        self.assertLessEqual({"gt-bucket", "local"}, set(found))

    def test_a_folder_is_looked_at_once(self) -> None:
        directory = self.folder()
        before = list(twisted.plugins.__path__)
        plugins.add_directories([directory, os.path.join(directory, ".")])
        self.assertEqual(twisted.plugins.__path__, before)

    def test_a_folder_that_does_not_exist_is_refused(self) -> None:
        directory = self.folder()
        error = self.assertRaises(
            ConfigError, plugins.add_directories, [directory, f"{directory}/missing"]
        )
        self.assertEqual(error.path, "plugin_path.1")
        self.assertIn("missing", error.problem)

    def test_two_plugins_of_one_name_are_refused(self) -> None:
        """Which of them is meant could depend on the order of files."""
        self.folder(
            gt_one=THIRD_PARTY.format(name="gt-same"), gt_two=THIRD_PARTY.format(name="gt-same")
        )
        error = self.assertRaises(ConfigError, plugins.find, IStorageFactory)
        self.assertIn("'gt-same'", error.problem)

    def test_a_file_that_cannot_be_imported_is_logged_and_the_rest_serves(self) -> None:
        directory = self.folder(
            gt_broken="import there_is_no_such_module_gt",
            gt_fine=THIRD_PARTY.format(name="gt-fine"),
        )
        self.assertIn("gt-fine", plugins.find(IStorageFactory))
        plugins.report_broken_files()
        (problem,) = plugins.broken_files()
        path = os.path.join(os.path.abspath(directory), "gt_broken.py")
        self.assertIn(f"{path} could not be imported", problem)
        self.assertIn(problem, self.logged())
        self.assertTrue(self.flushLoggedErrors(ImportError))

    def test_files_that_are_no_plugins_are_not_reported(self) -> None:
        directory = self.folder(gt_fine=THIRD_PARTY.format(name="gt-fine"))
        Path(directory, "notes.txt").write_text("")
        twisted.plugins.__path__.append(f"{directory}/missing")
        self.assertEqual(plugins.broken_files(), [])

    def test_a_plugin_without_its_interfaces_members_is_left_out(self) -> None:
        lacking = THIRD_PARTY.format(name="gt-lacking").replace("def build", "def construct")
        wrong = THIRD_PARTY.format(name="gt-wrong").replace(
            "build(self, options, environment)", "build(self)"
        )
        self.folder(gt_lacking=lacking, gt_wrong=wrong, gt_fine=THIRD_PARTY.format(name="gt-fine"))
        found = set(plugins.find(IStorageFactory))
        self.assertEqual(found & {"gt-lacking", "gt-wrong", "gt-fine"}, {"gt-fine"})
        self.assert_unusable("gt-lacking", "gt-wrong", because="build")

    def test_a_plugin_without_a_name_is_left_out(self) -> None:
        self.folder(gt_nameless=THIRD_PARTY.format(name="x").replace("name =", "title ="))
        self.assertNotIn("None", plugins.find(IStorageFactory))
        self.assert_unusable("<.*Factory.*>", because="name")

    def test_a_lazy_plugin_whose_code_is_missing_is_left_out(self) -> None:
        """As when the SDK of a cloud is not installed."""
        text = (
            "from giftless.interfaces import IStorageFactory\n"
            "from giftless.app.plugins import LazyPlugin\n"
            "one = LazyPlugin(IStorageFactory, 'gt-lazy', 'there_is_no_such_module_gt.Factory')\n"
            "two = LazyPlugin(IStorageFactory, 'gt-typo',"
            " 'giftless.storage.local.store.LocalFaktory')\n"
        )
        self.folder(gt_lazy=text)
        self.assertLessEqual({"local"}, set(plugins.find(IStorageFactory)))
        self.assertNotIn("gt-lazy", plugins.find(IStorageFactory))
        self.assert_unusable("gt-lazy", because="there_is_no_such_module_gt")
        self.assert_unusable("gt-typo", because="LocalFaktory")

    def test_a_plugin_that_cannot_be_used_is_told_with_the_reason_when_it_is_chosen(self) -> None:
        lacking = THIRD_PARTY.format(name="gt-lacking").replace("def build", "def construct")
        self.folder(gt_lacking=lacking)
        error = self.refusal({"type": "gt-lacking", "bucket": "b"})
        self.assertEqual(error.path, "storage.type")
        self.assertRegex(error.problem, "^the plugin 'gt-lacking' cannot be used: .*build")

    def test_only_the_code_of_the_chosen_plugin_is_imported(self) -> None:
        """Cloud storage and forges bring many modules that a process may never need."""
        script = (
            "import sys\n"
            "from giftless.app import plugins\n"
            "from giftless.interfaces import IStorageFactory\n"
            "plugins.choose(IStorageFactory, 'local', 'storage.type')\n"
            "print(*(name for name in sys.modules if name.startswith('giftless.storage')))\n"
        )
        loaded = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd="/"
        ).stdout.split()
        self.assertIn("giftless.storage.local.store", loaded)
        self.assertFalse([name for name in loaded if "s3" in name or "gcs" in name], loaded)

    def test_all_built_in_plugins_can_be_used(self) -> None:
        self.assertEqual(plugins.unusable(), [])
        for kind in interfaces.__all__:
            factory = getattr(interfaces, kind)
            if kind.endswith("Factory") and kind != "IFactory":
                self.assertIn(factory, plugins.KINDS)


class LazyPluginTests(SynchronousTestCase):
    def test_nothing_is_imported_before_it_is_used(self) -> None:
        plugin: Any = LazyPlugin(IStorageFactory, "x", "there_is_no_such_module_gt.Factory")
        self.assertEqual(plugin.name, "x")
        self.assertTrue(IStorageFactory.providedBy(plugin))
        self.assertTrue(IPlugin.providedBy(plugin))
        self.assertRaises(ObjectNotFound, getattr, plugin, "build")

    def test_it_does_what_its_target_does(self) -> None:
        plugin: Any = LazyPlugin(
            IAuthenticatorFactory, "x", "giftless.auth.anonymous.AnonymousFactory"
        )
        built = plugin.build(plugin.Options(), environment())
        self.assertIsInstance(built, AnonymousAuthenticator)

    def test_what_neither_has_is_missing(self) -> None:
        plugin = LazyPlugin(IAuthenticatorFactory, "x", "giftless.auth.anonymous.AnonymousFactory")
        self.assertRaises(AttributeError, getattr, plugin, "nonsense")
        self.assertRaises(AttributeError, getattr, plugin, "__nonsense__")
        bare = LazyPlugin.__new__(LazyPlugin)
        self.assertRaises(AttributeError, getattr, bare, "name")


class BuildTests(PluginTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder(gt_bucket=THIRD_PARTY.format(name="gt-bucket"))

    def test_what_the_type_names_is_built(self) -> None:
        store = self.build({"type": "local", "path": self.mktemp()})
        self.assertIsInstance(store, LocalStore)

    def test_the_factory_gets_its_options_and_the_environment(self) -> None:
        options, env = self.build({"type": "gt-bucket", "bucket": "b", "size": 7})
        self.assertEqual((options.bucket, options.size), ("b", 7))
        self.assertIsInstance(env.reactor, Clock)

    def test_a_missing_type_is_told_with_what_there_is(self) -> None:
        for section in ({}, {"type": None}, {"path": "/x"}):
            error = self.refusal(section)
            self.assertEqual(error.path, "storage.type")
            self.assertRegex(error.problem, "^is missing; available: .*gt-bucket, .*local")

    def test_an_unknown_type_is_told_with_what_there_is(self) -> None:
        for kind, words in (("s4", "text"), (5, "5"), ([], "an empty list"), ({}, "a section")):
            error = self.refusal({"type": kind})
            self.assertEqual(error.path, "storage.type")
            self.assertRegex(error.problem, f"^found {words}, available: .*local")

    def test_a_section_must_be_one(self) -> None:
        error = self.refusal("local", "auth.1")
        self.assertEqual(str(error), "auth.1: found text, but this is a section with keys")

    def test_an_option_that_is_wrong_has_its_whole_path(self) -> None:
        for section, message in (
            ({"size": 5}, "auth.1.bucket: is missing"),
            ({"bucket": "b", "size": "x"}, "auth.1.size: found text, allowed is a whole number"),
            ({"bucket": "b", "siz": 5}, "auth.1.siz: unknown key; did you mean 'size'?"),
            ({"bucket": "bad"}, "auth.1.bucket: found 'bad', allowed is anything else"),
        ):
            error = self.refusal({"type": "gt-bucket", **section}, "auth.1")
            self.assertTrue(str(error).startswith(message), str(error))

    def test_a_type_from_another_kind_is_unknown(self) -> None:
        self.assertEqual(self.refusal({"type": "anonymous"}).path, "storage.type")
