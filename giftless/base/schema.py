"""Turn plain data from YAML and the environment into typed options.

Options are frozen ``msgspec.Struct`` classes.  Errors name the key's path,
what was found and what is allowed, for people who edit configuration files.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Final, Protocol, Self, TypeVar

import msgspec
from msgspec import inspect

from giftless.base.files import read_file
from giftless.base.safe_yaml import load_yaml
from giftless.base.showing import describe, describe_number, file_name
from giftless.errors import ConfigError

S = TypeVar("S", bound=msgspec.Struct)

#: What an unknown key must look like to be shown.
_KEY: Final = re.compile(r"[A-Za-z_-]+", re.ASCII)

#: What the name of a key ends with in the environment where the value is in a file.
IN_FILE: Final = "_file"

#: By how many characters it may be longer or shorter than the key that was meant.
_SLIP: Final = 2


class Written(Protocol):
    """A type of options that is made from what people write, such as ``30d``.

    :cvar ALLOWED: what they may write, in words.
    """

    ALLOWED: ClassVar[str]

    @classmethod
    def of(cls, value: object) -> Self:
        """Make one from a plain value.

        :raises ValueError: if it is not allowed.
        """


class EnvironmentValue(str):
    """A scalar from the environment: text that may stand for another type."""


def convert(section: object, struct: type[S], path: str, beside: Collection[str] = ()) -> S:
    """Make ``struct`` from a mapping.

    Where the environment sets ``key_file``, and there is no such key, the value of ``key`` is
    read from the file of that name.  Blocks.

    :param path: the mapping's dotted path, empty at the top.
    :param beside: keys that may be there as well, and are somebody else's.
    :raises ConfigError: at the first key that is unknown, missing or wrong, or whose file
        cannot be read.
    """
    if not isinstance(section, Mapping):
        raise ConfigError(path, f"found {describe(section)}, but this is a section with keys")
    fields = _fields(struct)
    values = {}
    in_files = _named_files(section, fields, path)
    for key, value in section.items():
        if key in beside or key in in_files.values():
            continue
        if key not in fields:
            raise unknown_key(path, str(key), {*fields, *beside})
        field, shape = fields[key]
        if key not in in_files:
            values[field.name] = _convert_value(value, field.type, shape, join(path, key))
    for key, named in in_files.items():
        field, shape = fields[key]
        where = join(path, named)
        value = _in_file(section[named], where)
        values[field.name] = _convert_value(value, field.type, shape, where)
    for name, (field, _) in fields.items():
        if name not in section and name not in in_files and field.required:
            raise ConfigError(join(path, name), "is missing, and has no default")
    return struct(**values)


def _named_files(
    section: Mapping[str, Any], fields: Collection[str], path: str
) -> Mapping[str, str]:
    """Find the values that the environment names the files of.

    A key of its own that ends in the same way, such as ``secret_file``, is none of them.

    :returns: what names the file, by the key whose value is in it.
    :raises ConfigError: if the environment gives the value as well, or a part of it.
    """
    found = {}
    for named, value in section.items():
        key = str(named).removesuffix(IN_FILE)
        if key == named or named in fields or key not in fields:
            continue
        if isinstance(value, EnvironmentValue):
            if _is_from_environment(section.get(key)):
                raise ConfigError(join(path, named), f"is set beside '{key}'; set one of them")
            found[key] = named
    return found


def _is_from_environment(value: object) -> bool:
    """Whether the environment gives a value, or anything inside it."""
    if isinstance(value, Mapping):
        return any(map(_is_from_environment, value.values()))
    if isinstance(value, list):
        return any(map(_is_from_environment, value))
    return isinstance(value, EnvironmentValue)


def _in_file(file: str, path: str) -> EnvironmentValue:
    """Read a value, without line ends behind it and without the mark of UTF-8 before it."""
    try:
        value = read_file(file, path).decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(path, f"{file_name(file)}is no text in UTF-8") from None
    if not value:
        raise ConfigError(path, f"{file_name(file)}is empty")
    return EnvironmentValue(value)


@functools.cache
def _fields(
    struct: type[msgspec.Struct],
) -> Mapping[str, tuple[msgspec.structs.FieldInfo, inspect.Type]]:
    """Return the fields of a struct and what they hold, by the keys that people write.

    msgspec evaluates all annotations again each time it is asked.
    """
    return {
        field.encode_name: (field, inspect.type_info(field.type))
        for field in msgspec.structs.fields(struct)
    }


def unknown_key(path: str, key: str, known: Collection[str]) -> ConfigError:
    """Make the error for an unknown key, which says what may have been meant.

    The key itself is shown only if it is a slip of the pen: a colon that is missing
    makes a key of a secret.

    :param path: the dotted path of the section that the key stands in.
    """
    # Not before: hardly anybody needs it, and it takes memory.
    import difflib

    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    problem = f"unknown key; {hint}allowed here: {', '.join(sorted(known)) or 'nothing'}"
    slip = close and (key in close[0] or abs(len(key) - len(close[0])) <= _SLIP)
    if slip and _KEY.fullmatch(key):
        return ConfigError(join(path, key), problem)
    return ConfigError(path, problem, key)


def join(path: str, key: str) -> str:
    """Return the dotted path of ``key`` below ``path``."""
    return f"{path}.{key}" if path else key


def below(path: str, error: ConfigError) -> ConfigError:
    """Put the dotted path of a section in front of an error's, which may be empty."""
    whole = join(path, error.path) if error.path else path
    return ConfigError(whole, error.problem, error.key)


def _convert_value(value: object, kind: Any, shape: inspect.Type, path: str) -> Any:
    struct = _struct_of(shape)
    if struct is not None and value is not None:
        return convert(expand(value), struct, path)
    value = _plain(value, shape)
    if isinstance(value, list) and (struct := _struct_of(_item_of(shape))) is not None:
        value = [
            convert(item, struct, join(path, str(index))) if isinstance(item, Mapping) else item
            for index, item in enumerate(value)
        ]
    _check_keys(value, path)
    try:
        return msgspec.convert(value, kind, dec_hook=_read)
    except msgspec.ValidationError as error:
        where = str(error).partition("`$")[2].rstrip("`").replace("[", ".").replace("]", "")
        found, shape = _dig(value, shape, where)
        words = describe_number(found) if _takes_numbers(shape) else describe(found)
        raise ConfigError(path + where, f"found {words}, allowed is {allowed(shape)}") from None


def _read(kind: type[Written], value: object) -> Written:
    return kind.of(value)


def _check_keys(value: object, path: str) -> None:
    """Refuse a section with a key that is no text, alone or as an item of a list."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_keys(item, join(path, str(index)))
    elif isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                problem = "found a key that YAML does not take for text: put it in quotes"
                raise ConfigError(path, problem, str(key))


def _plain(value: object, shape: inspect.Type) -> object:
    """Read what the environment gave, alone or as an item of a list, as ``shape`` has it."""
    if isinstance(value, EnvironmentValue):
        return str(value) if _is_text(shape) else expand(value)
    if isinstance(value, list):
        return [_plain(item, _item_of(shape)) for item in value]
    return value


def expand(value: object) -> object:
    """Read what a variable of the environment stands for, as YAML does.

    :returns: the value; anything that is not from the environment as it is.
    """
    if isinstance(value, EnvironmentValue):
        try:
            return load_yaml(value)
        except ValueError:
            return str(value)
    return value


def _dig(value: object, shape: inspect.Type, where: str) -> tuple[object, inspect.Type]:
    """Follow the indexes of ``where`` into a list and its type."""
    for step in where.strip(".").split("."):
        if isinstance(value, list) and step.isdecimal():
            value, shape = value[int(step)], _item_of(shape)
    return value, shape


def _item_of(shape: inspect.Type) -> inspect.Type:
    """Return the type of a list's items; any type, if ``shape`` is no list's."""
    for part in shape.types if isinstance(shape, inspect.UnionType) else (shape,):
        if isinstance(part, inspect.ListType | inspect.VarTupleType):
            return part.item_type
    return inspect.AnyType()


def _struct_of(shape: inspect.Type) -> type[msgspec.Struct] | None:
    if isinstance(shape, inspect.UnionType):
        return next((s for s in map(_struct_of, shape.types) if s is not None), None)
    return shape.cls if isinstance(shape, inspect.StructType) else None


def _takes_numbers(shape: inspect.Type) -> bool:
    """Whether a value may be a number."""
    parts = shape.types if isinstance(shape, inspect.UnionType) else (shape,)
    return any(isinstance(part, inspect.IntType | inspect.FloatType) for part in parts)


def _is_text(shape: inspect.Type) -> bool:
    """Whether a value is to be taken literally: "5" is not the number."""
    if isinstance(shape, inspect.UnionType):
        # A number or one of some words: none of these words is a number.
        numbers = any(isinstance(part, inspect.IntType) for part in shape.types)
        words = [part for part in shape.types if not isinstance(part, inspect.LiteralType)]
        return any(map(_is_text, words if numbers else shape.types))
    return isinstance(shape, inspect.StrType | inspect.LiteralType)


def allowed(shape: inspect.Type) -> str:
    """Describe a type in words, for error messages and the reference."""
    match shape:
        case inspect.UnionType(types):
            return " or ".join(allowed(part) for part in types)
        case inspect.LiteralType(values):
            return "one of: " + ", ".join(str(value) for value in values)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            kind = "a whole number" if isinstance(shape, inspect.IntType) else "a number"
            if shape.ge is not None and shape.le is not None:
                return f"{kind} from {shape.ge} to {shape.le}"
            return kind if shape.ge is None else f"{kind}, at least {shape.ge}"
        case inspect.StrType():
            return "text" if not shape.min_length else f"text of {shape.min_length} or more"
        case inspect.ListType(item) | inspect.VarTupleType(item):
            least = shape.min_length if isinstance(shape, inspect.ListType) else None
            of = f" of {least} or more" if least else ""
            return f"a list{of}, each item {allowed(item)}"
        case inspect.NoneType():
            return "nothing"
        case inspect.CustomType():
            written: type[Written] = shape.cls
            return written.ALLOWED
        case _:
            return "a section with keys"
