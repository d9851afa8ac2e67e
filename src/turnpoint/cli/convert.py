"""From what a user wrote, on the command line or in YAML, to the type of a field."""

import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, Union

import yaml

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_NULL = ("null", "~", "")
# Tried in this order when a field takes several types, so that `5` is a number before it is text.
_ORDER = ("bool", "int", "float", "choice", "list", "dict", "text")
# Where text is taken as well, text is a list or a mapping only when it starts like one.
_BRACKETS = {"list": "[", "dict": "{"}
_WORDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "list": "a list", "dict": "a mapping"}


def convert(value: Any, kind: Any) -> Any:
    """A value of type `kind`.

    Args:
        value: the text of a flag or of a YAML scalar, or the list, mapping or None that YAML gave.
        kind: a type as `typing.get_type_hints` returns it; `readable(kind)` must hold.

    Raises:
        ValueError: the text is no such value.
    """
    kinds = _members(kind)
    if _is_null(value, kinds):
        return None
    for one in sorted(kinds - {type(None)}, key=lambda one: _ORDER.index(_form(one))):
        if str in kinds and _form(one) in _BRACKETS and isinstance(value, str) and value[:1] != _BRACKETS[_form(one)]:
            continue
        try:
            return _CONVERTERS[_form(one)](value, one)
        except (TypeError, ValueError, yaml.YAMLError):
            continue
    raise ValueError(f"{value!r} is not {describe(kind)}")


def describe(kind: Any) -> str:
    """What a field takes, in words: `a number`, `one of no, steps, epoch`."""
    forms = sorted(_members(kind) - {type(None)}, key=lambda one: _ORDER.index(_form(one)))
    words = [_describe(one) for one in forms]
    return " or ".join(words + ["null"] * (type(None) in _members(kind)))


def is_bool(kind: Any) -> bool:
    """Whether a flag of this type may stand alone, meaning true."""
    return bool in _members(kind) and not _members(kind) - {bool, type(None)}


def is_list(kind: Any) -> bool:
    """Whether a flag of this type takes several words."""
    return all(_form(one) == "list" for one in _members(kind) - {type(None)})


def is_bool_text(text: str) -> bool:
    """Whether the text says true or false."""
    return text.lower() in _TRUE + _FALSE


def readable(kind: Any) -> bool:
    """Whether a field of this type can be written as text."""
    return all(one is type(None) or _form(one) for one in _members(kind))


def _members(kind: Any) -> set[Any]:
    """The types of a union; of an enum or text, the enum alone, since other text is refused later anyway."""
    parts = set(typing.get_args(kind)) if typing.get_origin(kind) in (Union, types.UnionType) else {kind}
    if any(isinstance(part, type) and issubclass(part, Enum) for part in parts):
        parts.discard(str)
    return parts


def _form(kind: Any) -> str:
    origin = typing.get_origin(kind) or kind
    if origin is Literal or (isinstance(origin, type) and issubclass(origin, Enum)):
        return "choice"
    forms = {bool: "bool", int: "int", float: "float", str: "text", list: "list", tuple: "list", dict: "dict"}
    return forms.get(origin, "")


def _choices(kind: Any) -> dict[str, Any]:
    if typing.get_origin(kind) is Literal:
        return {
            str(choice).lower() if isinstance(choice, bool) else str(choice): choice for choice in typing.get_args(kind)
        }
    return {str(choice.value): choice.value for choice in kind}


def _describe(kind: Any) -> str:
    form = _form(kind)
    if form == "choice":
        return "one of " + ", ".join(_choices(kind))
    return _WORDS.get(form, "text")


def _is_null(value: Any, kinds: set[Any]) -> bool:
    if type(None) not in kinds:
        return False
    # `none` is a word of its own where text is taken (`--report_to none`).
    words = _NULL if str in kinds else (*_NULL, "none")
    return value is None or (isinstance(value, str) and value.lower() in words)


def _text(value: Any, kind: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _bool(value: Any, kind: Any) -> bool:
    word = _text(value, kind).lower()
    if not is_bool_text(word):
        raise ValueError(value)
    return word in _TRUE


def _int(value: Any, kind: Any) -> int:
    return int(_text(value, kind))


def _float(value: Any, kind: Any) -> float:
    return float(_text(value, kind))


def _choice(value: Any, kind: Any) -> Any:
    choices = _choices(kind)
    if value not in choices:
        raise ValueError(value)
    return choices[value]


def _list(value: Any, kind: Any) -> list[Any] | tuple[Any, ...]:
    """YAML's list; on the command line several words, `a,b`, or `[a, b]`."""
    if isinstance(value, str):
        value = yaml.safe_load(value) if value.startswith("[") else value.split(",")
    if not isinstance(value, list):
        raise TypeError(value)
    (item, *_) = typing.get_args(kind) or (str,)
    items = [convert(part if isinstance(part, list | dict) else str(part), item) for part in value]
    return tuple(items) if typing.get_origin(kind) is tuple else items


def _dict(value: Any, kind: Any) -> dict[str, Any]:
    """YAML's mapping; on the command line JSON or YAML in braces."""
    parsed = yaml.safe_load(value) if isinstance(value, str) else value
    if not isinstance(parsed, Mapping):
        raise TypeError(value)
    return dict(parsed)


_CONVERTERS = {
    "bool": _bool,
    "int": _int,
    "float": _float,
    "choice": _choice,
    "list": _list,
    "dict": _dict,
    "text": _text,
}
