"""The configuration reference against the options that the code takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import yaml
from msgspec import inspect
from twisted.trial.unittest import SynchronousTestCase

from giftless.app import plugins
from giftless.app.config import Config
from giftless.base.schema import allowed
from giftless.base.units import Duration, Share, Size
from giftless.interfaces import (
    IAuthenticatorFactory,
    ICatalogueFactory,
    IKeyringFactory,
    IKeyWrapperFactory,
    ILockStoreFactory,
    IObserverFactory,
    IStorageFactory,
)
from giftless.usecases.locks import LockPolicy
from tests.docs.pages import Directive, directives, pages

#: The default of an option that has none.
REQUIRED = "required"

#: How the reference says that the default is ``None``.
NOT_SET = "not set"


@dataclass(frozen=True)
class Option:
    """One option that the code takes.

    :ivar name: as the reference has it; a plugin's in parentheses behind it.
    :ivar variable: the environment variable that sets it.
    :ivar kind: what is allowed, in words.
    """

    name: str
    variable: str
    kind: str
    default: object

    @property
    def is_number(self) -> bool:
        """Whether it needs a unit."""
        return "number" in self.kind


def options_of(struct: type[msgspec.Struct], path: str = "", plugin: str = "") -> Iterator[Option]:
    """Find the options of a section, and of the sections in it."""
    for field in msgspec.structs.fields(struct):
        shape = inspect.type_info(field.type)
        name = f"{path}{field.encode_name}"
        if isinstance(shape, inspect.StructType):
            yield from options_of(shape.cls, f"{name}.", plugin)
            continue
        if isinstance(shape, inspect.ListType) and isinstance(shape.item_type, inspect.StructType):
            yield from options_of(shape.item_type.cls, f"{name}.N.", plugin)
        default = field.default
        if field.required:
            default = REQUIRED
        elif default is msgspec.NODEFAULT:
            default = field.default_factory()
        variable = "GIFTLESS_" + name.replace(".N.", ".0.").replace(".", "__").upper()
        yield Option(f"{name} ({plugin})" if plugin else name, variable, allowed(shape), default)


def all_options() -> dict[str, Option]:
    """Find the options of the configuration and of every built-in plugin."""
    found = [*options_of(Config), *options_of(LockPolicy, "locks.")]
    for interface, path in (
        (IStorageFactory, "storage."),
        (IAuthenticatorFactory, "auth.N."),
        (IKeyringFactory, "ssh.keys.N."),
        (IKeyWrapperFactory, "storage.keys."),
        (ILockStoreFactory, "locks."),
        (ICatalogueFactory, "catalogue."),
        (IObserverFactory, "observers.N."),
    ):
        for name, plugin in plugins.find(interface).items():
            if plugin.Options.__module__.startswith("giftless."):
                found += options_of(plugin.Options, path, name)
    return {option.name: option for option in found}


def reference() -> dict[str, Directive]:
    """Find what the pages say about options.

    An entry may speak of the same option of several plugins.
    """
    found = {}
    for page in pages():
        for entry in directives(page, "confval"):
            name, _, owners = entry.argument.partition(" (")
            for owner in owners.rstrip(")").split(", "):
                found[f"{name} ({owner})" if owner else name] = entry
    return found


def default_in(entry: Directive) -> object:
    """Read the default that an entry of the reference gives."""
    text = entry.options["default"]
    if text == NOT_SET:
        return None
    return yaml.safe_load(text[2:-2]) if text.startswith("``") else text


class ReferenceTests(SynchronousTestCase):
    """Each option is described, as it is."""

    def setUp(self) -> None:
        self.options = all_options()
        self.reference = reference()

    def test_every_option_is_in_the_reference(self) -> None:
        """Every option of the code is in the reference, and no other."""
        self.assertEqual(set(self.options) - set(self.reference), set(), "not in the reference")
        self.assertEqual(set(self.reference) - set(self.options), set(), "not in the code")

    def test_each_option_has_its_type(self) -> None:
        """The type is what an error message would say; numbers have a unit behind it."""
        for name, entry in self.reference.items():
            option = self.options[name]
            kind = entry.options["type"]
            unit = re.search(r" \([^)]+\)$", kind)
            self.assertEqual(kind[: unit.start()] if unit else kind, option.kind, entry.where)
            self.assertEqual(unit is not None, option.is_number, f"{entry.where}: the unit")

    def test_each_option_has_its_default(self) -> None:
        """The default is the code's."""
        for name, entry in self.reference.items():
            said, default = default_in(entry), self.options[name].default
            if isinstance(default, Duration | Size | Share):
                said = type(default).of(said)
            self.assertEqual(said, default, entry.where)

    def test_each_entry_begins_with_its_variable(self) -> None:
        """Each entry begins with the variable that sets the option."""
        for name, entry in self.reference.items():
            self.assertTrue(
                entry.content.startswith(f"``{self.options[name].variable}"), entry.where
            )
