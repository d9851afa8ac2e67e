"""`turnpoint evaluate reward MODEL DATA`: how a reward model judges pairs that it has not seen."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from turnpoint.cli.given import Given
from turnpoint.cli.groups import DataOptions, ModelOptions, OutputOptions
from turnpoint.cli.loading import on_device, open_tokenizer, open_weights, say
from turnpoint.cli.options import Verb
from turnpoint.cli.output import print_json, print_table
from turnpoint.data import load_pairs

if TYPE_CHECKING:
    from turnpoint.evaluation.rewards import RewardReport


@dataclass(frozen=True, kw_only=True)
class EvaluateRewardOptions(OutputOptions):
    """How to measure."""

    max_tokens_per_row: int = field(
        default=2048, metadata={"help": "tokens that one forward pass may hold; what pairs share counts once"}
    )


VERB = Verb(
    name="evaluate reward",
    about=(
        "Measure how a reward model judges pairs: how often it prefers the chosen side, by how much, whether it is as"
        " sure as it is right (calibration), and whether it goes by length. By kind of pair and by file, where there"
        " are several."
    ),
    groups={"Measure": EvaluateRewardOptions, "Model": ModelOptions, "Data": DataOptions},
    positional=("model", "dataset"),
)


def run(given: Given) -> None:
    """Measure and print the tables."""
    options, data = given.build(EvaluateRewardOptions), given.build(DataOptions)
    model_options = given.build(ModelOptions)
    pairs, notes = load_pairs(data.dataset, **data.arguments())
    for note in notes:
        say(note)
    tokenizer = open_tokenizer(model_options)
    from turnpoint.evaluation import evaluate_rewards
    from turnpoint.models import load_reward_model

    model = on_device(open_weights(model_options, load_reward_model), model_options)
    report = evaluate_rewards(model, tokenizer, pairs, max_tokens_per_row=options.max_tokens_per_row, progress="reward")
    if options.json:
        print_json(report.as_dict())
    else:
        _print(report)


def _print(report: "RewardReport") -> None:
    bias = "-" if report.length_bias is None else report.length_bias
    rows = [*report.summary().items(), ("calibration error", report.calibration_error), ("length bias", bias)]
    print_table(["measure", "value"], rows, title=f"reward, {len(report.pairs)} pairs")
    for name, groups in (("kind", report.by_kind), ("file", report.by_file)):
        if len(groups) > 1:
            of_groups = [[each or "-", len(of.pairs), *of.summary().values()] for each, of in groups.items()]
            print_table([name, "pairs", *report.summary()], of_groups, title=f"by {name}")
    bins = [
        [f"{each.start:.2f} to {each.end:.2f}", each.pairs, *("-" if v is None else v for v in each[3:])]
        for each in report.bins()
    ]
    print_table(["sure of the side it prefers", "pairs", "mean", "right"], bins, title="calibration")
