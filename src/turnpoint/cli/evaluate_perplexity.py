"""`turnpoint evaluate perplexity MODEL DATA`: how well a model foresees held-out dialogues."""

from dataclasses import dataclass, field

from turnpoint.cli.given import Given
from turnpoint.cli.groups import DataOptions, ModelOptions, OutputOptions
from turnpoint.cli.loading import on_device, open_tokenizer, open_weights, say
from turnpoint.cli.options import Verb, fields_of
from turnpoint.cli.output import print_json, print_table, writable, write_json
from turnpoint.data import load_dialogues
from turnpoint.evaluation import PerplexityReport, evaluate_perplexity
from turnpoint.evaluation.fitted import notes_on_left_out
from turnpoint.evaluation.perplexity import Perplexity
from turnpoint.training import SFTConfig


@dataclass(frozen=True, kw_only=True)
class PerplexityOptions(OutputOptions):
    """How to measure."""

    max_tokens_per_row: int = field(
        default=2048, metadata={"help": "tokens that one forward pass may hold; what dialogues share counts once"}
    )
    output: str | None = field(default=None, metadata={"help": "JSON file for the results"})


VERB = Verb(
    name="evaluate perplexity",
    about=(
        "Measure the mean negative log-likelihood per token of what the assistant writes in dialogues, and its exp, the"
        " perplexity. By decision of the turn and by file, where there are several. Of plain text all tokens count."
    ),
    groups={
        "Measure": PerplexityOptions,
        "Length": fields_of(SFTConfig, "max_length", "overflow"),
        "Model": ModelOptions,
        "Data": DataOptions,
    },
    positional=("model", "dataset"),
)


def run(given: Given) -> None:
    """Measure and print the tables."""
    options, config, data = given.build(PerplexityOptions), given.build(SFTConfig), given.build(DataOptions)
    models, output = given.build(ModelOptions), writable(options.output, "--output")
    dialogues, notes = load_dialogues(data.dataset, **data.arguments())
    for note in notes:
        say(note)
    tokenizer = open_tokenizer(models)
    report = evaluate_perplexity(
        on_device(open_weights(models), models),
        tokenizer,
        dialogues,
        max_length=config.max_length,
        overflow=config.overflow,
        max_tokens_per_row=options.max_tokens_per_row,
        progress="perplexity",
    )
    for line in notes_on_left_out(report.left_out):
        say(line)
    if output is not None:
        write_json(output, report.as_dict(), "--output")
    if options.json:
        print_json(report.as_dict())
    else:
        _print(report)


def _print(report: PerplexityReport) -> None:
    def row(name: str, of: Perplexity) -> list[str | float]:
        return [name, of.turns, of.tokens, of.nats, of.perplexity]

    columns = ["turns", "tokens", "nats a token", "perplexity"]
    title = f"perplexity, {report.dialogues} dialogues"
    print_table(["", *columns], [row("all", report.of_all)], title=title)
    for name, groups in (("decision", report.by_kind), ("file", report.by_file)):
        if len(groups) > 1:
            print_table([name, *columns], [row(each or "-", of) for each, of in groups.items()], title=f"by {name}")
