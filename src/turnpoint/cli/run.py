"""`turnpoint run RECIPE`: verbs one after the other, from one YAML file; a stage that is done is not run again."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from turnpoint.cache import digest
from turnpoint.cli.given import Given, read_arguments
from turnpoint.cli.groups import OutputOptions
from turnpoint.cli.loading import say
from turnpoint.cli.options import Verb, nearest
from turnpoint.cli.output import print_json, print_table
from turnpoint.dialogue import parse
from turnpoint.errors import ConfigError, DataError

RECIPES = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True, kw_only=True)
class RunOptions(OutputOptions):
    """What to run."""

    recipe: str = field(
        metadata={
            "help": "YAML file of stages (docs/tuning.md shows one), or the name of a recipe that is shipped: losses,"
            " learning-rates"
        }
    )
    output: str | None = field(default=None, metadata={"help": "folder of all stages; null takes the recipe's own"})


VERB = Verb(
    name="run",
    about=(
        "Run the stages of a recipe one after the other, each a verb with its options. Stages that are done with the"
        " same options are left alone, up to the first that is not: an interrupted recipe goes on with the stage it was"
        " in, from its last checkpoint if it wrote one."
    ),
    groups={"Recipe": RunOptions},
    positional=("recipe",),
)


class _Recipe(BaseModel):
    """A recipe as it is written.

    Attributes:
        output: folder in which each stage has its own.
        common: verb -> options of all its stages.
        stages: name -> options, with `run` for the verb; `{output}` in a value stands for that folder.
        table: metrics of the last evaluation of each stage, to be shown at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    common: dict[str, dict[str, Any]] = {}
    stages: dict[str, dict[str, Any]]
    table: tuple[str, ...] = ()


def run(given: Given) -> None:
    """Run a recipe."""
    options = given.build(RunOptions)
    recipe = _read(options.recipe)
    output = Path(options.output or recipe.output)
    stages = {name: _stage(name, stage, recipe, output) for name, stage in recipe.stages.items()}
    for name, (verb, settings) in stages.items():
        _check_stage(f"{options.recipe}: stages.{name}", output / f"{name}.yaml", verb, settings)
    before = ""  # what earlier stages did: a later one may read of it
    for number, (name, (verb, settings)) in enumerate(stages.items(), 1):
        say(f"{number}/{len(stages)} {name}: turnpoint {verb}")
        before = digest([before.encode(), json.dumps([verb, settings], default=str).encode()])
        # Standard output is for the table of the recipe.
        with redirect_stdout(sys.stderr) if options.json else nullcontext():
            _run_stage(output / name, verb, before, settings.get("output"))
    rows = [[name, *values] for name, values in _results(stages, output, recipe.table)]
    if options.json:
        print_json([dict(zip(("stage", *recipe.table), row, strict=True)) for row in rows])
    elif recipe.table:
        print_table(["stage", *recipe.table], rows, title=str(output))


def _read(recipe: str) -> _Recipe:
    """The recipe of a name or a file.

    Raises:
        ConfigError: there is none, or it is no recipe.
    """
    file = RECIPES / f"{recipe}.yaml" if (RECIPES / f"{recipe}.yaml").exists() else Path(recipe)
    try:
        raw = yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)  # scalars as text, as in a file of --config
        return parse(_Recipe, raw if isinstance(raw, dict) else {}, f"recipe {recipe}")
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"recipe {recipe}: cannot be read ({' '.join(str(error).split())})") from error
    except DataError as error:
        raise ConfigError(f"{error}; see {RECIPES / 'losses.yaml'} for an example") from None


def _stage(name: str, stage: dict[str, Any], recipe: _Recipe, output: Path) -> tuple[str, dict[str, Any]]:
    """The verb of a stage and all its options."""
    from turnpoint.cli.main import VERBS

    own = dict(stage)
    verb = own.pop("run", None)
    if verb not in VERBS:
        raise ConfigError(f"stages.{name}.run: must be a verb of turnpoint (got {verb!r}); {nearest(str(verb), VERBS)}")
    options = importlib.import_module(VERBS[verb].module).VERB.options.values()
    writes = any("output" in option.spellings for option in options)
    settings = ({"output": str(output / name)} if writes else {}) | recipe.common.get(verb, {}) | own
    return verb, {option: _placed(value, output) for option, value in settings.items()}


def _placed(value: Any, output: Path) -> Any:
    """A value of an option with the folder of the recipe in the place of `{output}`."""
    if isinstance(value, list):
        return [_placed(each, output) for each in value]
    return value.replace("{output}", str(output)) if isinstance(value, str) else value


def _check_stage(where: str, config: Path, verb: str, settings: dict[str, Any]) -> None:
    """Write the options of a stage into a file, and read them as its verb will.

    Raises:
        ConfigError: the verb has no such option, or a value breaks a rule; says in which stage.
    """
    from turnpoint.cli.main import VERBS

    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
    try:
        given = read_arguments(importlib.import_module(VERBS[verb].module).VERB, ["--config", str(config)])
        for group in given.verb.groups.values():
            given.build(group)
    except ConfigError as error:
        reason = re.sub(rf"^{re.escape(str(config))}:\d+: ", "", str(error))
        raise ConfigError(f"{where}: {reason}") from None


def _run_stage(folder: Path, verb: str, mark: str, output: str | None) -> None:
    """Run a stage from the file of its options, unless it and all before it are done with the same.

    One that was interrupted with the same goes on from its last checkpoint, if it wrote any; another one removes what
    checkpoints there are, so that none is taken for its own.

    Args:
        folder: of the stage; what is known of it is written beside.
        verb: one or two words.
        mark: tells this stage, with its options and all before it, from any other.
        output: what the stage writes, if it writes anything.
    """
    from turnpoint.cli.main import run_words
    from turnpoint.training.run_folder import last_checkpoint, remove_checkpoints

    begun, done = (folder.with_name(f"{folder.name}.{state}") for state in ("begun", "done"))
    if _says(done, mark) and (output is None or Path(output).expanduser().exists()):
        say("    done before")
        return
    done.unlink(missing_ok=True)
    words = [*verb.split(), "--config", str(folder.with_name(f"{folder.name}.yaml"))]
    checkpoint = last_checkpoint(str(folder)) if _says(begun, mark) else None
    if checkpoint is not None:
        say(f"    was interrupted: goes on from {checkpoint.name}, its last complete checkpoint")
        words += ["--resume_from_checkpoint", str(checkpoint)]
    else:
        removed = remove_checkpoints(str(folder))
        if removed:
            say(f"    starts anew: {removed} checkpoints of other options are removed")
    begun.write_text(mark, encoding="utf-8")
    run_words(words)
    begun.replace(done)


def _says(file: Path, mark: str) -> bool:
    return file.exists() and file.read_text(encoding="utf-8") == mark


def _results(stages: dict[str, Any], output: Path, names: tuple[str, ...]) -> Iterator[tuple[str, list[Any]]]:
    """Of each stage the last value of each metric that its log holds."""
    for name in stages:
        log = output / name / "metrics.jsonl"
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
        latest = {metric: value for line in lines for metric, value in line.items()}
        yield name, [latest.get(metric, "") for metric in names]
