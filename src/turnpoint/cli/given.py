"""What the user gave: flags and a YAML file, checked against the options of a verb, and dataclasses built from it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import yaml

from turnpoint.cli.convert import convert, describe, is_bool, is_bool_text, is_list
from turnpoint.cli.options import Option, Verb
from turnpoint.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Built = TypeVar("Built", bound="DataclassInstance")


@dataclass(frozen=True)
class Given:
    """Values of a verb's options, converted to their types; what the user left out is not in `values`."""

    verb: Verb
    values: dict[str, Any]

    def build(self, kind: type[Built]) -> Built:
        """The dataclass with what the user gave, the verb's defaults, and its own defaults.

        Raises:
            ConfigError: the dataclass refuses a value or a combination.
        """
        names = {item.name for item in dataclasses.fields(kind) if item.init}
        values = {name: value for name, value in {**self.verb.defaults, **self.values}.items() if name in names}
        try:
            return kind(**values)
        except (ValueError, ImportError) as error:
            raise ConfigError(f"turnpoint {self.verb.name}: {error}") from error


class _Word(NamedTuple):
    """One value as the user wrote it, and where."""

    where: str
    value: Any


def read_arguments(verb: Verb, words: Sequence[str]) -> Given:
    """Read the words after the verb, and the YAML file that `--config` names. Flags win over the file.

    Raises:
        ConfigError: an unknown name, a value of the wrong type, a value given twice or missing, an unreadable file.
    """
    flags, config = _read_words(verb, list(words))
    from_file = _read_yaml(verb, config) if config is not None else {}
    values = {}
    for name, word in {**from_file, **flags}.items():
        values[name] = _convert(verb.options[name], word, verb)
    for name, option in verb.options.items():
        if option.default is dataclasses.MISSING and name not in values:
            raise ConfigError(_missing(verb, option))
    return Given(verb, values)


def _read_words(verb: Verb, words: list[str]) -> tuple[dict[str, _Word], str | None]:
    found: dict[str, _Word] = {}
    free: list[str] = []
    config: str | None = None
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            free.append(word)
            continue
        flag, equals, value = word.partition("=")
        if flag == "--config":
            before, config = config, value if equals else _next(words, flag)
            if before is not None:
                raise ConfigError(f"{flag}: given twice (got {before!r} and {config!r}); write one file")
            continue
        option, value_of_flag = _flag(verb, flag, value if equals else None, words)
        if option.name in found:
            both = f"{found[option.name].value!r} and {value_of_flag!r}"
            raise ConfigError(f"{flag}: given twice (got {both}); write it once")
        found[option.name] = _Word(flag, value_of_flag)
    _place(verb, free, found)
    return found, config


def _flag(verb: Verb, flag: str, value: str | None, words: list[str]) -> tuple[Option, Any]:
    """The option that a flag names, and its value, taken off `words` where it is not part of the flag."""
    name = flag.lstrip("-").replace("-", "_")
    negated = verb.options.get(name.removeprefix("no_")) if name.startswith("no_") else None
    if negated and is_bool(negated.kind) and value is None:
        return negated, "false"
    option = verb.find(name, flag)
    if value is not None:
        return option, value
    if is_bool(option.kind):
        return option, words.pop(0) if words and is_bool_text(words[0]) else "true"
    first = _next(words, flag)
    if not is_list(option.kind):
        return option, first
    more = []
    while words and not words[0].startswith("--"):
        more.append(words.pop(0))
    return option, [first, *more] if more else first


def _next(words: list[str], flag: str) -> str:
    if not words or words[0].startswith("--"):
        raise ConfigError(f"{flag}: needs a value (got none); write {flag} VALUE")
    return words.pop(0)


def _place(verb: Verb, free: list[str], found: dict[str, _Word]) -> None:
    """Give the words without a flag to the positional fields, in their order."""
    if len(free) > len(verb.positional):
        takes = " ".join(name.upper() for name in verb.positional) or "no words without a flag"
        raise ConfigError(
            f"turnpoint {verb.name}: {free[len(verb.positional)]!r} is one word too many; it takes {takes}"
        )
    for name, word in zip(verb.positional, free, strict=False):
        if name in found:
            raise ConfigError(f"{found[name].where}: given twice (got {word!r} as well); write it once")
        found[name] = _Word(name.upper(), word)


def _read_yaml(verb: Verb, path: str) -> dict[str, _Word]:
    root = _compose(path)
    found: dict[str, _Word] = {}
    for key, node in root.value if root else ():
        where = f"{path}:{key.start_mark.line + 1}: {key.value}"
        option = verb.find(str(key.value), where)
        if option.name in found:
            raise ConfigError(f"{where}: given twice, also at {found[option.name].where}; write it once")
        found[option.name] = _Word(where, _yaml_value(node, where))
    return found


def _compose(path: str) -> yaml.MappingNode | None:
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the file of --config: {error.strerror}; check the path") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not YAML: {error.problem}; write one `field: value` a line") from None
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path}:{root.start_mark.line + 1}: must be a mapping; write one `field: value` a line")
    return root


def _yaml_value(node: yaml.Node, where: str) -> Any:
    """Scalars as their text, so that `no`, `1e-5` and `none` mean what they mean as a flag; else lists and mappings."""
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == "tag:yaml.org,2002:null" else node.value
    try:
        return yaml.SafeLoader("").construct_object(node, deep=True)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not plain YAML: {' '.join(str(error).split())}; use lists and mappings") from None


def _convert(option: Option, word: _Word, verb: Verb) -> Any:
    value = [word.value] if option.texts and isinstance(word.value, str) else word.value
    try:
        return convert(value, option.kind)
    except ValueError:
        raise ConfigError(
            f"{word.where}: must be {describe(option.kind)} (got {word.value!r}); see `turnpoint {verb.name} --help`"
        ) from None


def _missing(verb: Verb, option: Option) -> str:
    shown = option.spellings[0]
    if option.name in verb.positional:
        words = " ".join(name.upper() for name in verb.positional)
        return f"turnpoint {verb.name}: {shown.upper()} is missing; write `turnpoint {verb.name} {words}` or --{shown}"
    return f"turnpoint {verb.name}: --{shown} is missing; give it as a flag or in the file of --config"
