"""Parts around other parts: built, configured, started and checked at any depth."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from giftless.app import plugins
from giftless.app.config import Config, located, parse
from giftless.app.plugins import PartBuilder
from giftless.app.selfcheck import problem_of
from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.errors import ConfigError
from giftless.interfaces import (
    IAuthenticatorFactory,
    IBuilder,
    ICheckable,
    IExternalStore,
    ILockStore,
    ILockStoreFactory,
    IObserverFactory,
    IPartBuilder,
    IStorageFactory,
    IStreamingStore,
    Requester,
    Transfer,
)
from giftless.storage.local.store import LocalStore
from giftless.transfer.basic import BasicExternal, BasicFactory, BasicStreaming
from tests.app import nesting
from tests.app.test_plugins import PluginTestCase
from tests.support.making import (
    action_tokens,
    environment,
    key_of,
    links_of,
    part_builder,
    repo_of,
    writer,
)
from tests.support.run import CoroutineTestCase

SIGNING = {"type": "gt-signing", "bucket": "b"}


class NestingTestCase(PluginTestCase, CoroutineTestCase):
    """Has the plugins of :mod:`tests.app.nesting`, and builds with them."""

    def setUp(self) -> None:
        super().setUp()
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        shutil.copy(nesting.__file__, directory / "gt_nesting.py")
        self.addCleanup(sys.modules.pop, "twisted.plugins.gt_nesting", None)
        plugins.add_directories([str(directory)])
        self.parts: PartBuilder = part_builder(self.mktemp())

    def build(self, section: Any, path: str = "storage") -> Any:
        return self.parts.build(IStorageFactory, section, path)

    def configure(self, text: str = "", **variables: str) -> Config:
        """Load a configuration."""
        return parse("giftless.yaml", text, variables).config


class BuildTests(NestingTestCase):
    def test_the_builder_is_what_its_interface_says(self) -> None:
        verifyObject(IPartBuilder, self.parts)
        verifyObject(IPartBuilder, environment().parts)

    def test_a_part_is_built_around_another(self) -> None:
        store = self.build({"type": "gt-wrapper", "store": SIGNING})
        self.assertEqual(store.inner.options.bucket, "b")

    def test_parts_nest_to_any_depth(self) -> None:
        section: dict[str, Any] = {"type": "local", "path": self.mktemp()}
        for depth in range(20):
            section = {"type": "gt-wrapper", "label": str(depth), "store": section}
        store = self.build(section)
        for depth in reversed(range(20)):
            self.assertEqual(store.label, str(depth))
            store = store.inner
        self.assertIsInstance(store, LocalStore)

    def test_every_part_is_recorded_by_its_full_path(self) -> None:
        store = self.build(
            {"type": "gt-several", "stores": [{"type": "gt-wrapper", "store": SIGNING}, SIGNING]}
        )
        self.assertEqual(
            list(self.parts.built),
            ["storage.stores.0.store", "storage.stores.0", "storage.stores.1", "storage"],
        )
        self.assertIs(self.parts.built["storage"], store)
        self.assertIs(self.parts.built["storage.stores.0.store"], store.inner.inner)

    def test_every_kind_of_part_nests(self) -> None:
        observer = {"type": "gt-observer", "label": "inner"}
        anonymous = {"type": "anonymous", "access": "read"}
        cases: list[tuple[type[IBuilder], dict[str, Any]]] = [
            (IStorageFactory, {"type": "gt-wrapper", "store": SIGNING}),
            (IAuthenticatorFactory, {"type": "gt-either", "either": [anonymous, anonymous]}),
            (ILockStoreFactory, {"type": "gt-wrapper", "store": {"type": "sqlite"}}),
            (IObserverFactory, {"type": "gt-observer", "observer": observer}),
        ]
        for index, (interface, section) in enumerate(cases):
            self.parts.build(interface, section, f"part.{index}")
        built = self.parts.built
        self.assertIsInstance(built["part.1.either.1"], AnonymousAuthenticator)
        self.assertTrue(ILockStore.providedBy(built["part.2.store"]))
        self.assertEqual(built["part.3.observer"].label, "inner")  # type: ignore[attr-defined]

    def test_a_nested_part_may_be_of_another_kind(self) -> None:
        parts = self.parts.environment.parts
        self.assertTrue(
            ILockStore.providedBy(parts.build(ILockStoreFactory, {"type": "sqlite"}, "storage.x"))
        )


class CapabilityTests(NestingTestCase):
    """What a wrapper provides decides how clients transfer, whatever is inside."""

    def test_a_wrapper_that_only_streams_is_streamed_from_a_store_that_signs(self) -> None:
        outer = self.build({"type": "gt-wrapper", "store": SIGNING})
        inner: Any = self.parts.built["storage.store"]
        verifyObject(IStreamingStore, outer)
        verifyObject(IExternalStore, inner)
        tokens = action_tokens()
        self.assertIsInstance(BasicFactory().build(inner, tokens), BasicExternal)
        basic = BasicFactory().build(outer, tokens)
        self.assertIsInstance(basic, BasicStreaming)
        assert basic is not None
        requester = Requester(writer(), repo_of(), links_of())
        actions: Any
        (actions,) = self.run_now(basic.upload([Transfer(key_of(b"x"), 1)], requester))
        self.assertTrue(actions["upload"].href.startswith("https://lfs.example/"), actions)


class ErrorTests(NestingTestCase):
    def nested(self, depth: int, inner: object) -> dict[str, Any]:
        section: Any = inner
        for _ in range(depth):
            section = {"type": "gt-wrapper", "store": section}
        return {"type": "gt-several", "stores": [SIGNING, section]}

    def test_the_paths_of_errors_compose(self) -> None:
        inner: dict[Any, Any]
        for inner, message in (
            ({"type": "gt-signing"}, "bucket: is missing, and has no default"),
            ({"type": "gt-signing", "bucket": "bad"}, "bucket: found 'bad', allowed is"),
            ({"type": "gt-signing", "bukket": "b"}, "bukket: unknown key; did you mean 'bucket'?"),
            ({**SIGNING, "part_size": "x"}, "part_size: found text, allowed is a whole number"),
            ({**SIGNING, "names": [1]}, "names.0: found 1, allowed is text"),
            ({"type": "gt-nowhere"}, "type: found text, available: "),
            ({"bucket": "b"}, "type: is missing; available: "),
            (
                dict[Any, Any]({1: 2}) | SIGNING,
                ": found a key that YAML does not take for text",
            ),
        ):
            for depth in (0, 1, 3):
                error = self.refusal(self.nested(depth, inner))
                path = "storage.stores.1." + "store." * depth
                whole = f"{path}{message}".replace(".: ", ": ")
                self.assertTrue(str(error).startswith(whole), str(error))

    def test_a_nested_section_must_be_one(self) -> None:
        error = self.refusal({"type": "gt-wrapper", "store": "local"})
        self.assertEqual(str(error), "storage.store: found text, allowed is a section with keys")
        error = self.refusal({"type": "gt-wrapper"})
        self.assertEqual(str(error), "storage.store: is missing, and has no default")

    def test_a_part_that_is_not_what_its_wrapper_needs_is_named(self) -> None:
        error = self.assertRaises(
            ConfigError,
            self.parts.build,
            ILockStoreFactory,
            {"type": "gt-wrapper", "store": {"type": "local"}},
            "locks",
        )
        self.assertTrue(str(error).startswith("locks.store.type: found text, available: "))


class EnvironmentVariableTests(NestingTestCase):
    def test_variables_reach_nested_sections(self) -> None:
        options = self.configure(
            "storage: {type: gt-wrapper, store: {type: gt-wrapper, store: {type: gt-signing}}}",
            GIFTLESS_STORAGE__STORE__STORE__BUCKET="17",
            GIFTLESS_STORAGE__STORE__STORE__PART_SIZE="5",
            GIFTLESS_STORAGE__STORE__STORE__NAMES__0="8",
            GIFTLESS_STORAGE__STORE__LABEL="9",
        )
        store = self.build(options.storage)
        self.assertEqual(store.inner.label, "9")
        leaf = store.inner.inner.options
        self.assertEqual((leaf.bucket, leaf.part_size, leaf.names), ("17", 5, ["8"]))

    def test_variables_alone_describe_nested_sections(self) -> None:
        options = self.configure(
            GIFTLESS_STORAGE__TYPE="gt-several",
            GIFTLESS_STORAGE__STORES__0__TYPE="gt-signing",
            GIFTLESS_STORAGE__STORES__0__BUCKET="b",
        )
        self.assertEqual(self.build(options.storage).inner.options.bucket, "b")

    def test_a_variable_may_hold_a_whole_nested_section(self) -> None:
        for variables in (
            {"GIFTLESS_STORAGE__STORE": "{type: gt-signing, bucket: b, part_size: 5}"},
            {
                "GIFTLESS_STORAGE__STORE": "{type: gt-signing, bucket: b}",
                "GIFTLESS_STORAGE__STORE__PART_SIZE": "5",
            },
        ):
            options = self.configure("storage: {type: gt-wrapper}", **variables)
            self.parts = part_builder()
            leaf = self.build(options.storage).inner.options
            self.assertEqual((leaf.bucket, leaf.part_size), ("b", 5))

    def test_a_variable_may_hold_one_section_of_a_list(self) -> None:
        options = self.configure(
            "storage: {type: gt-several}",
            GIFTLESS_STORAGE__STORES__0="{type: gt-signing, bucket: b}",
            GIFTLESS_STORAGE__STORES__0__PART_SIZE="5",
            GIFTLESS_STORAGE__STORES__1="{type: gt-signing, bucket: c}",
        )
        self.build(options.storage)
        sizes = [part.options.part_size for part in list(self.parts.built.values())[:2]]  # type: ignore[attr-defined]
        self.assertEqual(sizes, [5, 0])

    def test_an_error_names_the_variable_that_set_the_value(self) -> None:
        text = "storage: {type: gt-wrapper, store: {type: gt-signing, bucket: b}}"
        for variables, named in (
            ({"GIFTLESS_STORAGE__STORE__PART_SIZE": "x"}, "GIFTLESS_STORAGE__STORE__PART_SIZE"),
            (
                {"GIFTLESS_STORAGE__STORE": "{type: gt-signing, bucket: b, part_size: x}"},
                "GIFTLESS_STORAGE__STORE",
            ),
        ):
            options = self.configure(text, **variables)
            error = located(self.refusal(options.storage), "giftless.yaml", "", variables)
            self.assertEqual(
                str(error),
                f"environment {named}: storage.store.part_size:"
                " found text, allowed is a whole number",
            )
        options = self.configure(text.replace("bucket: b", "part_size: x"))
        error = located(self.refusal(options.storage), "giftless.yaml", "", {})
        self.assertTrue(str(error).startswith("giftless.yaml: storage.store.part_size: "))


class ServiceTests(NestingTestCase):
    def test_services_of_nested_parts_start_first_and_stop_last(self) -> None:
        self.build(
            {
                "type": "gt-wrapper",
                "label": "outer",
                "store": {"type": "gt-wrapper", "label": "inner", "store": SIGNING},
            }
        )
        services = self.parts.environment.services
        services.startService()
        self.assertEqual(self.logged(), "b starts\ninner starts\nouter starts")
        self.events.clear()
        services.stopService()
        self.assertEqual(self.logged(), "outer stops\ninner stops\nb stops")


class CheckTests(NestingTestCase):
    def test_a_nested_part_is_checked_under_its_full_path(self) -> None:
        section = {"type": "gt-wrapper", "store": {**SIGNING, "bucket": "unreachable"}}
        self.build({"type": "gt-several", "stores": [section]})
        problems = [
            self.run_now(problem_of(part, path, Clock()))
            for path, part in self.parts.built.items()
            if ICheckable.providedBy(part)
        ]
        self.assertEqual(
            [str(problem) for problem in problems if problem],
            ["storage.stores.0.store.bucket: found 'unreachable', which nobody can reach"],
        )
