"""`turnpoint inspect DATA`: what is wrong with a data set, and what a model would read of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text

from turnpoint.cli.given import Given
from turnpoint.cli.groups import DataOptions, ModelOptions, OutputOptions
from turnpoint.cli.loading import open_processing_class, say
from turnpoint.cli.options import Verb
from turnpoint.cli.output import console, print_json, print_table
from turnpoint.data import load
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.doctor import Finding, Row, examine, rows_of
from turnpoint.errors import ConfigError
from turnpoint.progress import with_progress
from turnpoint.template.spans import TokenIds

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_COLORS = {"error": "red", "warning": "yellow", "note": "cyan"}


@dataclass(frozen=True, kw_only=True)
class InspectOptions(OutputOptions):
    """What to look at."""

    model: str | None = field(
        default=None, metadata={"help": "tokenizer for what counts tokens: hub name, folder, .gguf file or demo"}
    )
    chat_template: str | None = field(
        default=None, metadata={"help": "Jinja file that takes the place of the tokenizer's own chat template"}
    )
    max_length: int | None = field(default=None, metadata={"help": "tokens above which training would leave a row out"})
    show: int | None = field(
        default=None,
        metadata={"help": "print the first N rows as the model reads them, scored tokens in green; needs --model"},
    )


VERB = Verb(
    name="inspect",
    about=(
        "The data doctor: reads a data set as training would and says what is wrong with it, the worst first, with the"
        " rows and how to mend them. With --model it counts tokens and shows which are scored."
    ),
    groups={"Data": DataOptions, "Examination": InspectOptions},
    positional=("dataset",),
)


def run(given: Given) -> None:
    """Examine the data and print the findings."""
    data, options = given.build(DataOptions), given.build(InspectOptions)
    _check(options)
    if options.show and options.json:
        raise ConfigError(f"--show: prints text (got {options.show}), and --json prints nothing else; leave one out")
    loaded = load(data.dataset, format=data.format, split=data.split, limit=data.limit)
    tokenized = None
    if options.model is not None:
        from turnpoint.template import Renderer, tokenizer_of

        model = ModelOptions(model=options.model, chat_template=options.chat_template)
        processing_class = open_processing_class(model)
        records: Sequence[Dialogue | PreferencePair] = loaded.records
        tokenized = rows_of(with_progress(records, "Tokenising"), Renderer(processing_class))
        if not options.json:
            _show(tokenized.rows[: options.show or 0], tokenizer_of(processing_class))
    findings = examine(loaded.records, tokenized, options.max_length)
    if options.json:
        print_json(
            {
                "dataset": data.dataset,
                "format": loaded.format,
                "records": len(loaded.records),
                "notes": loaded.notes,
                "findings": [asdict(finding) | {"severity": _severity(finding)} for finding in findings],
            }
        )
        return
    for note in loaded.notes:
        say(note)
    _print_findings(findings, f"{data.dataset}: {len(loaded.records)} rows, format {loaded.format}")


def _check(options: InspectOptions) -> None:
    if options.show is not None and options.show < 1:
        raise ConfigError(f"--show: must be at least 1 (got {options.show}); leave it out to print no rows")
    if options.max_length is not None and options.max_length < 1:
        raise ConfigError(f"--max_length: must be at least 1 (got {options.max_length}); leave it out for no limit")
    if options.model is None:
        for name in ("show", "max_length", "chat_template"):
            if getattr(options, name) is not None:
                raise ConfigError(f"--{name}: needs a tokenizer (got {getattr(options, name)}); add --model NAME")


def _print_findings(findings: Sequence[Finding], title: str) -> None:
    print_table(
        ["severity", "count", "finding", "first rows", "how to mend"],
        [[_severity(f), f.count, f.title, "\n".join(f.rows), f.mend] for f in findings],
        title=title,
    )


def _severity(finding: Finding) -> str:
    return finding.severity.name.lower()


def _show(rows: Sequence[Row], tokenizer: "PreTrainedTokenizerFast") -> None:
    out = console()
    for row in rows:
        for name, text in zip(("chosen", "rejected"), _sequences(row, tokenizer), strict=False):
            out.rule(f"{row.source} {name if len(row.sequences) == 2 else ''}".strip(), align="left")
            out.print(text)


def _sequences(row: Row, tokenizer: "PreTrainedTokenizerFast") -> list[Text]:
    """Each sequence of a row as the model reads it, its scored tokens in green."""
    return [
        highlighted(
            tokenizer, sequence.input_ids, [(t.start, t.end) for t in sequence.turns[row.shared_turns :] if t.train]
        )
        for sequence in row.sequences
    ]


def highlighted(tokenizer: "PreTrainedTokenizerFast", input_ids: TokenIds, scored: list[tuple[int, int]]) -> Text:
    """Token ids as text, special tokens included, with the half-open token ranges `scored` in green."""
    text = Text()
    position = 0
    for start, end in scored:
        text.append(tokenizer.decode(input_ids[position:start]))
        text.append(tokenizer.decode(input_ids[start:end]), style="bold green")
        position = end
    text.append(tokenizer.decode(input_ids[position:]))
    return text
