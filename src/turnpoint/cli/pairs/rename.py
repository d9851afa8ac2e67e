"""`turnpoint pairs rename SAMPLES --names OLD=NEW`: pairs that teach a model another name."""

from dataclasses import dataclass, field
from pathlib import Path

from turnpoint.cli.given import Given
from turnpoint.cli.groups import OutputOptions
from turnpoint.cli.options import Verb
from turnpoint.cli.pairs.writing import write_and_count
from turnpoint.errors import ConfigError
from turnpoint.pairs import read_samples
from turnpoint.pairs.rename import rename_pairs


@dataclass(frozen=True, kw_only=True)
class RenameOptions(OutputOptions):
    """What to rename."""

    samples: str = field(metadata={"help": "file that `turnpoint sample` wrote: what the model answers by itself"})
    names: list[str] = field(metadata={"help": 'what becomes of which name: SmolLM=Ada "Hugging Face=Acme"'})
    output: str = field(metadata={"help": "JSONL file to write the pairs to"})


VERB = Verb(
    name="pairs rename",
    about=(
        "Preference pairs that teach a model another name: its own answer is rejected, the same answer under the new"
        " name chosen. Answers that say no old name give no pair and are counted."
    ),
    groups={"Pairs": RenameOptions},
    positional=("samples",),
)


def run(given: Given) -> None:
    """Rename, write and count."""
    options = given.build(RenameOptions)
    names = dict(_name(word) for word in options.names)
    built = rename_pairs(list(read_samples(Path(options.samples).expanduser())), names)
    write_and_count(built, options.output, options.samples, json=options.json)


def _name(word: str) -> tuple[str, str]:
    old, equals, new = word.partition("=")
    if not equals:
        raise ConfigError(f"names: must be OLD=NEW (got {word!r}), such as SmolLM=Ada")
    return old.strip(), new.strip()
