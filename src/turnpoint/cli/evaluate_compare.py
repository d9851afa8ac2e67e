"""`turnpoint evaluate compare PROMPTS --models A B`: replies of several models to the same prompts, side by side."""

import gc
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from turnpoint.cli.given import Given
from turnpoint.cli.groups import DataOptions, ModelOptions, OutputOptions
from turnpoint.cli.loading import on_device, open_tokenizer, open_weights, say
from turnpoint.cli.options import Verb, fields_of
from turnpoint.cli.output import console, print_json, writable, write_text
from turnpoint.data import load
from turnpoint.errors import ConfigError, DataError
from turnpoint.pairs import Samples, prompts_of
from turnpoint.report import SideBySide
from turnpoint.sampling import Reply, Sampling, as_prompts, replies_to

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_OF_DATA = ("format", "split", "limit", "on_bad_rows")


@dataclass(frozen=True, kw_only=True)
class CompareOptions(OutputOptions):
    """What to ask whom."""

    models: list[str] = field(metadata={"help": "hub names, folders, .gguf files, or demo; loaded one after the other"})
    dataset: str | None = field(
        default=None,
        metadata={
            "help": "prompts: a data set, of whose dialogues the last turn is written anew, or a .txt file of one"
            " question a line"
        },
    )
    questions: list[str] | None = field(
        default=None, metadata={"help": "texts of a user, in the place of PROMPTS or after them", "texts": True}
    )
    system: str | None = field(default=None, metadata={"help": "text of a system message for prompts that have none"})
    max_new_tokens: int = field(default=128, metadata={"help": "tokens of the longest reply"})
    temperature: float = field(default=0.0, metadata={"help": "of the draws; 0 is greedy"})
    seed: int = field(default=0, metadata={"help": "of the draws"})
    markdown: str | None = field(default=None, metadata={"help": "Markdown file for the table"})
    html: str | None = field(default=None, metadata={"help": "HTML file for the table, complete in itself"})


VERB = Verb(
    name="evaluate compare",
    about=(
        "Ask several models the same and show their replies side by side. Write the prompts before --models, which"
        " takes every word up to the next flag."
    ),
    groups={
        "Compare": CompareOptions,
        "Models": fields_of(ModelOptions, "dtype", "attn_implementation", "trust_remote_code", "load_in_4bit"),
        "Data": fields_of(DataOptions, *_OF_DATA),
    },
    positional=("dataset",),
)


def run(given: Given) -> None:
    """Ask and show."""
    options = given.build(CompareOptions)
    Sampling(options.max_new_tokens, options.temperature).check()
    if twice := {name for name in options.models if options.models.count(name) > 1}:
        raise ConfigError(f"models: {min(twice)} is named twice; name each once")
    markdown, html = writable(options.markdown, "--markdown"), writable(options.html, "--html")
    prompts = _prompts(given, options)
    models = [replace(given.build(ModelOptions), model=name) for name in options.models]
    tokenizers = [open_tokenizer(each) for each in models]  # quick to fail, before the first model writes
    replies = {
        each.model: _replies(each, tokenizer, prompts, options)
        for each, tokenizer in zip(models, tokenizers, strict=True)
    }
    table = SideBySide(prompts, replies)
    for file, flag, text in ((markdown, "--markdown", table.markdown), (html, "--html", table.page)):
        if file is not None:
            write_text(file, text(), flag)
    if line := table.note_on_cuts():
        say(line)
    if options.json:
        print_json(table.as_dict())
    else:
        console().print(table)


def _prompts(given: Given, options: CompareOptions) -> list[Samples]:
    """What to ask: the prompts of the data, then the questions.

    Raises:
        ConfigError: there is neither, or a setting of data sets where there is none.
        DataError: nobody asks anything in the data.
    """
    if options.dataset is None and not options.questions:
        raise ConfigError(
            "turnpoint evaluate compare: nothing to ask; write PROMPTS before --models, or add --questions"
            f" (models: {', '.join(options.models)})"
        )
    questions = options.questions or []
    if options.dataset is None or options.dataset.lower().endswith(".txt"):
        if idle := [name for name in _OF_DATA if name in given.values]:
            raise ConfigError(f"{idle[0]}: has no effect on questions (got {given.values[idle[0]]!r}); leave it out")
        return as_prompts([*(_lines(options.dataset) if options.dataset else ()), *questions], options.system)
    loaded = load(options.dataset, **given.build(DataOptions).arguments())
    for note in loaded.notes:
        say(note)
    found = prompts_of(loaded.records)
    if not found:
        raise DataError(f"{options.dataset}: no user says anything, so there is nothing to reply to")
    return as_prompts([*found, *questions], options.system)


def _lines(file: str) -> list[str]:
    """The questions of a text file, one a line.

    Raises:
        DataError: it cannot be read, or holds none.
    """
    try:
        text = Path(file).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}; check the path") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{file}: holds no question; write one a line")
    return lines


def _replies(
    models: ModelOptions, tokenizer: "PreTrainedTokenizerFast", prompts: list[Samples], options: CompareOptions
) -> list[Reply]:
    """What one model replies; it is gone from memory afterwards."""
    model = on_device(open_weights(models), models)
    replies = replies_to(
        model,
        tokenizer,
        prompts,
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        seed=options.seed,
        progress=models.model,
    )
    del model
    gc.collect()  # a model may hold itself in circles
    return replies
