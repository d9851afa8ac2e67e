"""`turnpoint inspect DATA`: what a data set holds, what is wrong with it, and what a model would read of it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from turnpoint.cli.given import Given
from turnpoint.cli.groups import DataOptions, ModelOptions, OutputOptions
from turnpoint.cli.loading import open_processing_class, say
from turnpoint.cli.options import Verb
from turnpoint.cli.output import console, print_json, print_table, writable, write_text
from turnpoint.cli.overview import print_overview
from turnpoint.data import load
from turnpoint.data.containers import container_of
from turnpoint.data.files import split_of
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.doctor import Finding, Held, Row, Severity, examine, held, judge, overview, rows_of
from turnpoint.errors import ConfigError
from turnpoint.progress import with_progress
from turnpoint.template.spans import TokenIds

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from turnpoint.template import Renderer


@dataclass(frozen=True, kw_only=True)
class InspectOptions(OutputOptions):
    """What to look at."""

    model: str | None = field(
        default=None, metadata={"help": "tokenizer for what counts tokens: hub name, folder, .gguf file or demo"}
    )
    chat_template: str | None = field(
        default=None, metadata={"help": "Jinja file that takes the place of the tokenizer's own chat template"}
    )
    max_length: int | None = field(
        default=None,
        metadata={"help": "tokens above which training would leave a row out; null takes the default of training"},
    )
    against: list[str] | None = field(
        default=None,
        metadata={
            "help": "files, folders or hub names in which no row should stand as well, such as the data to evaluate on;"
            " null takes the other splits of a folder"
        },
    )
    show: int | None = field(
        default=None,
        metadata={"help": "print the first N rows as the model reads them, scored tokens in green; needs --model"},
    )
    html: str | None = field(
        default=None,
        metadata={
            "help": "write a page that shows every row as the model reads it, each pair as a dialogue that forks, to"
            " this file; needs --model"
        },
    )
    fail_on: Literal["error", "warning", "note"] | None = field(
        default=None,
        metadata={"help": "exit with code 1 where a finding is of this severity or a worse one; null never does"},
    )


VERB = Verb(
    name="inspect",
    about=(
        "The data doctor: reads a data set as training would and says what it holds and what is wrong with it, the"
        " worst first, with the rows and how to mend them. With --model it counts tokens and shows which are scored."
    ),
    groups={"Data": DataOptions, "Examination": InspectOptions},
    positional=("dataset",),
    defaults={"on_bad_rows": "drop"},
)


def run(given: Given) -> None:
    """Examine the data and print the findings."""
    data, options = given.build(DataOptions), given.build(InspectOptions)
    _check(options)
    page = writable(options.html, "--html")
    loaded = load(data.dataset, **data.arguments())
    records: Sequence[Dialogue | PreferencePair] = loaded.records
    renderer, max_length = _renderer(options)
    tokenized = rows_of(with_progress(records, "Tokenising"), renderer) if renderer else None
    if renderer and tokenized and options.show:
        _show(tokenized.rows[: options.show], renderer.tokenizer)
    judgements = judge(loaded.records)
    summary = overview(loaded.records, loaded.format, tokenized, renderer, max_length, judgements)
    others = _others(data, options.against)
    findings = examine(loaded.records, tokenized, max_length, renderer, others, judgements, loaded.broken)
    if page is not None and tokenized is not None and renderer is not None:
        from turnpoint.report import inspector_page

        write_text(page, inspector_page(data.dataset, records, tokenized, findings, renderer.tokenizer), "--html")
        say(f"{page}: open it in a browser")
    if options.json:
        print_json(
            {
                "dataset": data.dataset,
                "format": loaded.format,
                "records": len(loaded.records),
                "notes": loaded.notes,
                "overview": asdict(summary),
                "against": {other.name: len(other.openings) for other in others},
                "findings": [asdict(finding) | {"severity": _severity(finding)} for finding in findings],
            }
        )
    else:
        for note in loaded.notes:
            say(note)
        print_overview(summary, data.dataset)
        more = "" if renderer else "; --model NAME looks at their tokens too"
        _print_findings(findings, f"{len(loaded.records)} rows{more}")
        for line in _apart(data.dataset, others, findings):
            print(line)
    if options.fail_on is not None:
        _fail(findings, options.fail_on)


def _check(options: InspectOptions) -> None:
    if options.show and options.json:
        raise ConfigError(f"--show: prints text (got {options.show}), and --json prints nothing else; leave one out")
    if options.show is not None and options.show < 1:
        raise ConfigError(f"--show: must be at least 1 (got {options.show}); leave it out to print no rows")
    if options.max_length is not None and options.max_length < 1:
        raise ConfigError(
            f"--max_length: must be at least 1 (got {options.max_length}); leave it out for the default of training"
        )
    if options.model is None:
        for name in ("show", "html", "max_length", "chat_template"):
            if getattr(options, name) is not None:
                raise ConfigError(f"--{name}: needs a tokenizer (got {getattr(options, name)}); add --model NAME")


def _renderer(options: InspectOptions) -> "tuple[Renderer | None, int | None]":
    """What makes tokens of the data, and the longest row that training keeps, tokens; None without a model."""
    if options.model is None:
        return None, None
    from turnpoint.template import Renderer
    from turnpoint.training.configs import DPOConfig

    model = ModelOptions(model=options.model, chat_template=options.chat_template)
    max_length = DPOConfig.max_length if options.max_length is None else options.max_length
    return Renderer(open_processing_class(model)), max_length


def _others(data: DataOptions, against: Sequence[str] | None) -> list[Held]:
    """The data sets in which no row of this one should stand: those named, or the other splits of its folder."""
    if against is None:
        sources = [(f"split {split}", data.dataset, split) for split in _other_splits(data)]
    else:
        sources = [(source, source, "train") for source in against]
    return [
        held(
            name,
            with_progress(load(source, split=split, on_bad_rows=data.on_bad_rows).records, f"Reading {name}"),
        )
        for name, source, split in sources
    ]


def _other_splits(data: DataOptions) -> list[str]:
    folder = Path(data.dataset).expanduser()
    if not folder.is_dir():
        return []
    found = {split_of(path.name) for path in folder.iterdir() if container_of(path)}
    return sorted(split for split in found if split not in (None, split_of(data.split)))


def _print_findings(findings: Sequence[Finding], examined: str) -> None:
    if not findings:
        print(f"Nothing found: no error, warning or note about {examined}")
        return
    print_table(
        ["severity", "count", "finding", "first rows", "how to mend"],
        [[_severity(f), f.count, f.title, "\n".join(f.rows), f.mend] for f in findings],
        title="findings, the worst first",
    )


def _apart(dataset: str, others: Sequence[Held], findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each other data set that shares no row with this one."""
    shared = {finding.against for finding in findings}
    for other in others:
        if other.name not in shared:
            compared = f"compared {len(other.openings)} openings, near-duplicates too"
            yield f"no row of {dataset} is in {other.name}: {compared}"


def _fail(findings: Sequence[Finding], fail_on: str) -> None:
    """Leave with exit code 1, and say why, where a finding is as bad as that."""
    bad = [finding for finding in findings if finding.severity >= Severity[fail_on.upper()]]
    if bad:
        say(f"failed on {len(bad)} of {len(findings)} findings (--fail_on {fail_on}), the worst: {bad[0].title}")
        raise SystemExit(1)


def _severity(finding: Finding) -> str:
    return finding.severity.name.lower()


def _show(rows: Sequence[Row], tokenizer: "PreTrainedTokenizerFast") -> None:
    out = console()
    for row in rows:
        for name, text in zip(("chosen", "rejected"), _sequences(row, tokenizer), strict=False):
            place = f"{row.source} {name if len(row.sequences) == 2 else ''}".rstrip()
            out.print(f"── {place} ──", style="rule.line", markup=False, soft_wrap=True)
            out.print(text, soft_wrap=True)


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
