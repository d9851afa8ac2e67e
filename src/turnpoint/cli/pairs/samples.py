"""`turnpoint pairs samples FILE --by ...`: preference pairs of what a model wrote."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from turnpoint.cli.given import Given
from turnpoint.cli.groups import OutputOptions
from turnpoint.cli.loading import say
from turnpoint.cli.options import Verb
from turnpoint.cli.pairs.writing import write_and_count
from turnpoint.errors import ConfigError
from turnpoint.pairs import Samples, read_samples, sample_pairs

Scores = list[list[float]]


@dataclass(frozen=True, kw_only=True)
class PairsOfSamplesOptions(OutputOptions):
    """Which replies to prefer to which."""

    samples: str = field(metadata={"help": "file that `turnpoint sample` wrote"})
    by: Literal["gold"] = field(
        metadata={
            "help": "what tells good replies from bad ones. gold: whether a reply decides as the data does at its"
            " place; what the data says is chosen"
        }
    )
    output: str = field(metadata={"help": "JSONL file to write the pairs to"})
    select: Literal["best_worst", "best_random", "all"] = field(
        default="best_worst",
        metadata={
            "help": "best_worst: the best reply against the worst; best_random: against any worse one; all: every pair"
        },
    )
    margin: float = field(default=0.0, metadata={"help": "by more than which the scores of a pair must differ"})
    seed: int = field(default=0, metadata={"help": "of the draws of best_random"})


VERB = Verb(
    name="pairs samples",
    about=(
        "Preference pairs of several replies to one prompt. Replies that are the same, empty or not scored, and prompts"
        " whose replies are all as good, give no pair and are counted."
    ),
    groups={"Pairs": PairsOfSamplesOptions},
    positional=("samples",),
)


def run(given: Given) -> None:
    """Score, pair, write and count."""
    options = given.build(PairsOfSamplesOptions)
    if options.margin < 0:
        raise ConfigError(f"margin: must be a difference of scores from 0 (got {options.margin})")
    samples = list(read_samples(Path(options.samples).expanduser()))
    scores = _BY[options.by](samples)
    gold = 1.0 if options.by == "gold" else None
    built = sample_pairs(samples, scores, gold=gold, select=options.select, margin=options.margin, seed=options.seed)
    scored = [score for of_prompt in scores for score in of_prompt if score == score]
    say(f"{len(scored)} replies scored, {sum(scored) / max(len(scored), 1):.3f} on average")
    write_and_count(built, options.output, options.samples, json=options.json)


def _gold(samples: Sequence[Samples]) -> Scores:
    from turnpoint.evaluation.samples import gold_scores

    return gold_scores(samples)


_BY: dict[str, Callable[[Sequence[Samples]], Scores]] = {"gold": _gold}
