"""What a verb takes: the fields of its dataclasses as options, their spellings, the nearest match of a wrong one."""

import dataclasses
import difflib
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from turnpoint.cli.convert import readable
from turnpoint.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Spellings of one field. The first is the one that help shows; a verb's dataclass may use any of them.
_SYNONYMS = (
    ("model", "model_name_or_path"),
    ("dataset", "dataset_name"),
    ("output", "output_dir"),
    ("split", "dataset_train_split"),
    ("dtype", "torch_dtype"),
)
_CLOSING_DEFAULT = re.compile(r" Default: [^ ;]+\.$")


@dataclass(frozen=True, kw_only=True)
class Option:
    """One field of a verb's dataclasses.

    Attributes:
        name: the name of the field.
        kind: its type, resolved.
        default: `dataclasses.MISSING` where the user must give one.
        help: what it does, with its unit.
        heading: the part of the help it belongs to.
        values: what single values mean, in a line each.
        texts: a list whose items are texts, in which a comma is a comma.
    """

    name: str
    kind: Any
    default: Any
    help: str
    heading: str
    values: Mapping[str, str] = field(default_factory=dict)
    texts: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every name that is taken for this field, the one to show first."""
        return next((names for names in _SYNONYMS if self.name in names), (self.name,))


@dataclass(frozen=True, kw_only=True)
class Verb:
    """What a verb does and takes.

    Attributes:
        name: as typed on the command line.
        about: a sentence or two for its help.
        groups: heading -> dataclass whose fields are flags and YAML keys. Fields that a dataclass inherits unchanged
            from `transformers.TrainingArguments` stand under a heading of their own, last.
        positional: names of the fields that may be given without their flag, in order.
        defaults: values that take the place of the dataclasses' own defaults, for this verb.
    """

    name: str
    about: str
    groups: Mapping[str, type["DataclassInstance"]]
    positional: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def options(self) -> dict[str, Option]:
        """Field name -> option, in the order of the groups, inherited fields last."""
        found: dict[str, Option] = {}
        for heading, kind in self.groups.items():
            for option in _options(heading, kind):
                found.setdefault(option.name, option)
        found = {
            name: dataclasses.replace(option, default=self.defaults.get(name, option.default))
            for name, option in found.items()
        }
        return dict(sorted(found.items(), key=lambda item: item[1].heading == _INHERITED))

    def find(self, spelling: str, where: str) -> Option:
        """The option a user's word names.

        Args:
            spelling: a flag without its dashes or a YAML key; `-` and `_` are the same.
            where: what the user wrote and where, for the error.

        Raises:
            ConfigError: no such option; names the nearest.
        """
        name = spelling.replace("-", "_")
        for option in self.options.values():
            if name in option.spellings:
                return option
        names = [name for option in self.options.values() for name in option.spellings]
        raise ConfigError(f"{where}: unknown for `turnpoint {self.name}`; {nearest(name, [*names, 'config'])}")


_INHERITED = "transformers.TrainingArguments"


def fields_of(kind: type["DataclassInstance"], *names: str) -> type["DataclassInstance"]:
    """A dataclass of some fields of another, for verbs that take those alone; types, defaults and help are the same."""
    hints = typing.get_type_hints(kind)
    taken = []
    for name in names:
        item = kind.__dataclass_fields__[name]
        made = field(default=item.default, default_factory=item.default_factory, metadata=item.metadata)
        taken.append((name, hints[name], made))
    return dataclasses.make_dataclass(kind.__name__, taken, kw_only=True, frozen=True)


def nearest(word: str, names: Iterable[str]) -> str:
    """The end of an error line about an unknown name: the closest known one, or where to look."""
    known = list(names)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {_listing(known)}"


def _listing(names: list[str], limit: int = 12) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more, see --help" if len(names) > limit else "")


def _options(heading: str, kind: type["DataclassInstance"]) -> Iterable[Option]:
    hints = typing.get_type_hints(kind)
    inherited = _inherited_names(kind)
    for item in dataclasses.fields(kind):
        choices = item.metadata.get("choices")
        type_of_item = hints[item.name]
        if choices:
            type_of_item = Literal[tuple(choices)] | None if item.default is None else Literal[tuple(choices)]
        if item.init and readable(type_of_item):
            yield Option(
                name=item.name,
                kind=type_of_item,
                default=_default(item),
                help=_help(item),
                heading=_INHERITED if item.name in inherited else heading,
                values=item.metadata.get("values", {}),
                texts=item.metadata.get("texts", False),
            )


def _inherited_names(kind: type) -> set[str]:
    """Fields of `TrainingArguments` that no class on the way declares anew; found without importing transformers."""
    own: set[str] = set()
    for base in kind.__mro__:
        if base.__name__ == "TrainingArguments" and dataclasses.is_dataclass(base):
            return {item.name for item in dataclasses.fields(base)} - own
        own |= set(vars(base).get("__annotations__", ()))
    return set()


def _help(item: "dataclasses.Field[Any]") -> str:
    """The help of a field on one line, without a closing `Default: x.`, which stands beside the name."""
    help = str(item.metadata.get("help") or "").replace("%%", "%")  # transformers writes for argparse
    return _CLOSING_DEFAULT.sub("", " ".join(help.split()))


def _default(item: "dataclasses.Field[Any]") -> Any:
    return item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
