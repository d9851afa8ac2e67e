"""The recipe of the demo: a YAML file, checked as a whole before anything slow begins."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, field_validator

from turnpoint.cli.convert import convert, describe
from turnpoint.cli.given import Given
from turnpoint.cli.options import Verb
from turnpoint.dialogue import parse
from turnpoint.errors import ConfigError, DataError
from turnpoint.pairs.trajectories import ROW_NAMES
from turnpoint.training import DPOConfig, SFTConfig

RECIPE = Path(__file__).parents[1] / "recipes" / "demo.yaml"
_OF_THE_COMMAND_LINE = {"output_dir": "--output", "seed": "--seed"}
Config = TypeVar("Config", SFTConfig, DPOConfig)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Sft(_Part):
    dialogues: PositiveInt
    questions: NonNegativeInt
    rejections: NonNegativeInt
    longest: PositiveInt
    settings: dict[str, Any]


class _Pairs(_Part):
    rows: dict[str, PositiveInt]
    longest: PositiveInt
    distractors: NonNegativeInt

    @field_validator("rows")
    @classmethod
    def _known(cls, rows: dict[str, int]) -> dict[str, int]:
        unknown = next((row for row in rows if row not in ROW_NAMES), None)
        if unknown is not None:
            raise ValueError(f"unknown row {unknown!r}; use some of {', '.join(ROW_NAMES)}")
        return rows


class _Dpo(_Part):
    settings: dict[str, Any]


class _Evaluation(_Part):
    per_kind: PositiveInt
    max_new_tokens: PositiveInt


class _Recipe(_Part):
    sft: _Sft
    pairs: _Pairs
    dpo: _Dpo
    evaluation: _Evaluation


def read_recipe(path: str) -> dict[str, Any]:
    """The parts of a recipe file: all of them, with nothing else in them. `settings` are checked by `stage_config`.

    Raises:
        ConfigError: the file cannot be read, or a field is missing, unknown or of another type.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"recipe {path}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"recipe {path}: must be a mapping; copy {RECIPE} and change it")
    try:
        return parse(_Recipe, raw, f"recipe {path}").model_dump()
    except DataError as error:
        raise ConfigError(f"{error}; copy {RECIPE} and change it") from None


def stage_config(kind: type[Config], settings: dict[str, Any], where: str, output: Path, seed: int) -> Config:
    """The settings of a stage, in mixed precision unless they say otherwise.

    Args:
        kind: what to make.
        settings: fields of it, as YAML gave them.
        where: file and part of the recipe, for errors.
        output: run folder of the stage.
        seed: of the training.

    Raises:
        ConfigError: a field that is unknown, of another type, refused by `kind`, or not for a recipe to set.
    """
    verb = Verb(name="demo", about="", groups={"settings": kind})
    values: dict[str, Any] = {"bf16": True, "save_strategy": "no", "output_dir": str(output), "seed": seed}
    for name, value in settings.items():
        option = verb.find(name, f"{where}: {name}")
        if option.name in _OF_THE_COMMAND_LINE:
            flag = _OF_THE_COMMAND_LINE[option.name]
            raise ConfigError(f"{where}: {name}: not for a recipe to set (got {value!r}); use {flag} of the demo")
        text = value if value is None or isinstance(value, list | dict) else str(value)
        try:
            values[option.name] = convert(text, option.kind)
        except ValueError:
            raise ConfigError(f"{where}: {name}: must be {describe(option.kind)} (got {value!r})") from None
    return Given(verb, values).build(kind)
