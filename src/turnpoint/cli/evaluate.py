"""`turnpoint evaluate decisions|choices MODEL DATA`: what a model decides at the turns of dialogues it has not seen."""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from turnpoint.cli.given import Given
from turnpoint.cli.groups import DataOptions, ModelOptions, OutputOptions
from turnpoint.cli.loading import open_model, say
from turnpoint.cli.options import Verb
from turnpoint.cli.output import print_json, print_table
from turnpoint.data import load_dialogues
from turnpoint.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(OutputOptions):
    """What to measure."""

    measure: Literal["decisions", "choices"] = field(
        metadata={
            "help": "decisions: the model writes its turn, which is parsed and judged; choices: the likeliest of four"
            " given turns, by mean log-prob per token"
        }
    )
    per_kind: int | None = field(
        default=None,
        metadata={"help": "turns of each decision at most, drawn at random (a balanced sample); null takes all"},
    )
    seed: int = field(default=0, metadata={"help": "seed of that draw"})
    max_new_tokens: int = field(
        default=96, metadata={"help": "tokens of the longest reply, for decisions; choices writes none"}
    )


VERB = Verb(
    name="evaluate",
    about=(
        "Measure what a model decides at the turns of dialogues: call a tool, ask for a slot, answer (completion), or"
        " say that no tool fits (relevance). Micro is passes over turns, macro the mean of the four rates."
    ),
    groups={"Measure": EvaluateOptions, "Model": ModelOptions, "Data": DataOptions},
    positional=("measure", "model", "dataset"),
)


def run(given: Given) -> None:
    """Measure and print the rates."""
    options, data = given.build(EvaluateOptions), given.build(DataOptions)
    if options.measure == "choices" and "max_new_tokens" in given.values:
        raise ConfigError("max_new_tokens: choices measures given turns and writes none; leave it out")
    dialogues, notes = load_dialogues(data.dataset, **data.arguments())
    for note in notes:
        say(note)
    if without_tools := sum(not dialogue.tools for dialogue in dialogues):
        say(f"left aside {without_tools} of {len(dialogues)} dialogues, which offer no tools")
    model, tokenizer = open_model(given.build(ModelOptions))
    from turnpoint.evaluation import evaluate_choices, evaluate_decisions

    writes = options.measure == "decisions"
    evaluate = partial(evaluate_decisions, max_new_tokens=options.max_new_tokens) if writes else evaluate_choices
    report = evaluate(
        model, tokenizer, dialogues, per_kind=options.per_kind, seed=options.seed, progress=options.measure
    )
    if not report.verdicts:
        raise DataError(f"{data.dataset}: no turn to judge; give dialogues with tools, whose turns call, ask or refuse")
    if cut := report.note_on_cuts():
        say(cut)
    if options.json:
        print_json(report.as_dict())
        return
    print_table(["decision", "passed"], report.rows(), title=f"{options.measure}, {len(report.verdicts)} turns")
