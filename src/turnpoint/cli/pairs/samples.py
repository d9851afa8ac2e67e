"""`turnpoint pairs samples FILE --by ...`: preference pairs of what a model wrote."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from turnpoint.cli.given import Given
from turnpoint.cli.groups import ModelOptions, OutputOptions
from turnpoint.cli.loading import open_model, open_tokenizer, say
from turnpoint.cli.options import Verb
from turnpoint.cli.pairs.writing import write_and_count
from turnpoint.dialogue import Dialogue
from turnpoint.errors import ConfigError
from turnpoint.pairs import Samples, read_samples, sample_pairs

Scores = list[list[float]]


@dataclass(frozen=True, kw_only=True)
class PairsOfSamplesOptions(OutputOptions):
    """Which replies to prefer to which."""

    samples: str = field(metadata={"help": "file that `turnpoint sample` wrote"})
    by: Literal["gold", "reward", "implicit"] = field(
        metadata={
            "help": "what tells good replies from bad ones. gold: whether a reply decides as the data does at its"
            " place; what the data says is chosen. reward: the score of a reward model. implicit: the log-ratio of a"
            " model and its reference"
        }
    )
    model: str | None = field(
        default=None, metadata={"help": "reward model, or the model whose implicit reward counts: hub name or folder"}
    )
    reference: str | None = field(default=None, metadata={"help": "what that model is measured against, for implicit"})
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
    _check_models(options)
    scores = _BY[options.by](samples, options)
    gold = 1.0 if options.by == "gold" else None
    built = sample_pairs(samples, scores, gold=gold, select=options.select, margin=options.margin, seed=options.seed)
    scored = [score for of_prompt in scores for score in of_prompt if score == score]
    say(f"{len(scored)} replies scored, {sum(scored) / max(len(scored), 1):.3f} on average")
    write_and_count(built, options.output, options.samples, json=options.json)


def _check_models(options: PairsOfSamplesOptions) -> None:
    needed = {"gold": (), "reward": ("model",), "implicit": ("model", "reference")}[options.by]
    for name in ("model", "reference"):
        given = getattr(options, name)
        if given is None and name in needed:
            raise ConfigError(f"{name}: is needed to tell good replies by {options.by}; add --{name} NAME")
        if given is not None and name not in needed:
            raise ConfigError(f"{name}: has no effect on --by {options.by} (got {given!r}); leave it out")


def _gold(samples: Sequence[Samples], options: PairsOfSamplesOptions) -> Scores:
    from turnpoint.evaluation.samples import gold_scores

    return gold_scores(samples)


def _reward(samples: Sequence[Samples], options: PairsOfSamplesOptions) -> Scores:
    from turnpoint.evaluation import reward_scores
    from turnpoint.models import load_reward_model

    name = options.model or ""
    model, tokenizer = load_reward_model(name), open_tokenizer(ModelOptions(model=name))
    # A reply may call what is not offered, which a checked dialogue may not.
    dialogues = [
        Dialogue.model_construct(messages=(*drawn.prompt, reply.message), tools=drawn.tools, source=drawn.source)
        for drawn in samples
        for reply in drawn.replies
        if reply.message is not None
    ]
    left = iter(reward_scores(model, tokenizer, dialogues, progress="reward").tolist())
    return [[math.nan if reply.message is None else next(left) for reply in drawn.replies] for drawn in samples]


def _implicit(samples: Sequence[Samples], options: PairsOfSamplesOptions) -> Scores:
    from turnpoint.models import load_model
    from turnpoint.training.preferences import implicit_rewards

    model, tokenizer = open_model(ModelOptions(model=options.model or ""))
    reference = load_model(options.reference or "")
    return implicit_rewards(model, reference, tokenizer, samples, progress="implicit rewards")


_Score = Callable[[Sequence[Samples], PairsOfSamplesOptions], Scores]
_BY: dict[str, _Score] = {"gold": _gold, "reward": _reward, "implicit": _implicit}
