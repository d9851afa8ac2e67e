"""The help of a verb: every field with its type, default and unit, its own fields first."""

import dataclasses
import shutil
import textwrap
from enum import Enum

from turnpoint.cli.convert import describe
from turnpoint.cli.options import Option, Verb


def usage(verb: Verb) -> str:
    """The text of `turnpoint VERB --help`."""
    width = min(shutil.get_terminal_size().columns, 120)
    words = [name.upper() for name in verb.positional]
    lines = [
        " ".join(["usage: turnpoint", verb.name, *words, "[--config FILE.yaml] [--FIELD VALUE ...]"]),
        "",
        textwrap.fill(verb.about, width),
    ]
    heading = ""
    for option in verb.options.values():
        if option.heading != heading:
            heading = option.heading
            lines += ["", heading]
        lines += _entry(option, width)
    return "\n".join(lines)


def _entry(option: Option, width: int) -> list[str]:
    others = "".join(f", also --{name}" for name in option.spellings[1:])
    first = f"  --{option.spellings[0]}{others}: {describe(option.kind)}, {_default(option)}"
    indent = " " * 6
    entry = textwrap.wrap(first, width, subsequent_indent=indent)
    entry += textwrap.wrap(option.help, width, initial_indent=indent, subsequent_indent=indent)
    longest = max(map(len, option.values), default=0)
    for value, meaning in option.values.items():
        start = f"{indent}  {value:{longest}}  "
        entry += textwrap.wrap(meaning, width, initial_indent=start, subsequent_indent=" " * len(start))
    return entry


def _default(option: Option) -> str:
    value = option.default
    if value is dataclasses.MISSING:
        return "required"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool) or value is None:
        return f"default {str(value).lower().replace('none', 'null')}"
    return f"default {value!r}" if value == "" else f"default {value}"
