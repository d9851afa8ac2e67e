"""`turnpoint evaluate decisions|choices MODEL DATA`: what a model decides at the turns of dialogues it has not seen."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from turnpoint.cli.given import Given
from turnpoint.cli.groups import DataOptions, ModelOptions, OutputOptions
from turnpoint.cli.loading import open_model, say
from turnpoint.cli.options import Verb
from turnpoint.cli.output import print_json
from turnpoint.cli.rates import print_differences, print_rates
from turnpoint.data import Source, load_dialogues
from turnpoint.errors import ConfigError, DataError

if TYPE_CHECKING:
    from turnpoint.evaluation.judge import Judge
    from turnpoint.evaluation.measured import Measure, Measured
    from turnpoint.evaluation.results import Difference

_KEY = "OPENAI_API_KEY"
_LONGEST_OPINION = 512  # tokens


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(OutputOptions):
    """What to measure."""

    measure: Literal["decisions", "choices"] = field(
        metadata={
            "help": "decisions: the model writes its turn, which is read and judged; choices: the likeliest of four"
            " given turns, by log-prob"
        }
    )
    benchmark: Literal["own", "functionchat", "bfcl", "when2call"] = field(
        default="own",
        metadata={
            "help": "whose rules: own takes the turns of any dialogues with tools; functionchat, bfcl (v4) and"
            " when2call take their own files; choices takes own and when2call"
        },
    )
    per_kind: int | None = field(
        default=None,
        metadata={"help": "turns of each decision or category at most, drawn at random; null takes all"},
    )
    seed: int = field(default=0, metadata={"help": "seed of that draw, and of the resampling"})
    max_new_tokens: int = field(
        default=96, metadata={"help": "tokens of the longest reply, for decisions; choices writes none"}
    )
    output: str | None = field(
        default=None, metadata={"help": "JSON file for everything: rates, intervals, every reply with its reason"}
    )
    against: str | None = field(
        default=None, metadata={"help": "file that --output wrote for another model: differences over the same turns"}
    )
    plot: str | None = field(default=None, metadata={"help": "PNG of what was decided where what was due"})


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """A language model that judges what rules cannot know."""

    judge: str | None = field(
        default=None, metadata={"help": f"address of an OpenAI-compatible server; its key in {_KEY}; null: rules alone"}
    )
    judge_model: str | None = field(default=None, metadata={"help": "name of the judge at that server"})
    rubrics: str | None = field(
        default=None, metadata={"help": "folder of rubrics of your own: call.md, slot.md, relevance.md, completion.md"}
    )


VERB = Verb(
    name="evaluate",
    about=(
        "Measure what a model decides at the turns of dialogues: call a tool, ask for a slot, answer (completion), or"
        " say that no tool fits (relevance). Micro is passes over turns, macro the mean of the rates; intervals are of"
        " 95%, by resampling dialogues."
    ),
    groups={"Measure": EvaluateOptions, "Judge": JudgeOptions, "Model": ModelOptions, "Data": DataOptions},
    positional=("measure", "model", "dataset"),
)


def run(given: Given) -> None:
    """Measure, and print the rates, or the differences from another run."""
    options, data = given.build(EvaluateOptions), given.build(DataOptions)
    _check(options, given)
    _open_files(options)
    from turnpoint.evaluation.results import compare, read_result, result

    judge = _judge(given.build(JudgeOptions), options.seed)
    before = None if options.against is None else read_result(options.against)
    measured = _measured(options, data, given.build(ModelOptions))
    report = measured.report
    if not report.verdicts:
        raise DataError(f"{data.dataset}: no turn to judge; give dialogues with tools, whose turns call, ask or refuse")
    if cut := report.note_on_cuts():
        say(cut)
    if judge is not None:
        measured = measured.after(judge, progress="judge")
        for note in measured.notes:
            say(note)
    found = result(measured.report, _about(options, data, given, judge)) | {"further": measured.further()}
    _write(options, found)
    differences = [] if before is None else compare(before, found, str(options.against), options.seed)
    if before is not None:
        found["against"] = {"model": before["model"], "differences": [each.as_dict() for each in differences]}
        _write(options, found)
    if options.json:
        print_json(found)
    else:
        _print(options, measured, before, differences)


def _check(options: EvaluateOptions, given: Given) -> None:
    """Refuse what goes with the other measure alone."""
    if options.measure == "decisions":
        return
    if "max_new_tokens" in given.values:
        raise ConfigError("max_new_tokens: choices measures given turns and writes none; leave it out")
    if options.benchmark not in ("own", "when2call"):
        raise ConfigError(
            f"benchmark: {options.benchmark} holds no turns to choose from; take decisions, or own or when2call"
        )
    if "judge" in given.values:
        raise ConfigError("judge: choices writes nothing to be judged; take decisions, or leave it out")


def _judge(options: JudgeOptions, seed: int) -> "Judge | None":
    if options.judge is None:
        for name in ("judge_model", "rubrics"):
            if getattr(options, name) is not None:
                value = getattr(options, name)
                raise ConfigError(f"{name}: has no effect without a judge (got {value!r}); add --judge URL")
        return None
    if options.judge_model is None:
        raise ConfigError(f"judge: needs the name of a model at {options.judge}; add --judge_model NAME")
    from turnpoint.evaluation.judge import Judge, read_rubrics
    from turnpoint.sampling import ChatServer

    settings = {"temperature": 0.0, "seed": seed, "max_tokens": _LONGEST_OPINION}
    server = ChatServer(options.judge, options.judge_model, api_key=os.environ.get(_KEY), settings=settings)
    rubrics = read_rubrics(options.rubrics)
    return Judge(options.judge_model, lambda text: server.reply([{"role": "user", "content": text}]), rubrics)


def _measured(options: EvaluateOptions, data: DataOptions, model_options: ModelOptions) -> "Measured":
    """Read the turns, load the model, measure."""
    from turnpoint.evaluation import measured

    if options.benchmark == "own":
        dialogues, notes = load_dialogues(data.dataset, **data.arguments())
        if without_tools := sum(not dialogue.tools for dialogue in dialogues):
            notes = (*notes, f"left aside {without_tools} of {len(dialogues)} dialogues, which offer no tools")
        of_own = {"decisions": measured.own_decisions, "choices": measured.own_choices}[options.measure]
        measure: Measure = partial(of_own, dialogues, options.per_kind, options.seed)
    else:
        source = Source(data.dataset, data.format, data.split, data.limit, on_bad_rows=data.on_bad_rows)
        measure, notes = measured.of_benchmark(
            options.benchmark, options.measure, source, options.per_kind, options.seed
        )
    for note in notes:
        say(note)
    model, tokenizer = open_model(model_options)
    limits = {"max_new_tokens": options.max_new_tokens} if options.measure == "decisions" else {}
    return measure(model, tokenizer, progress=options.measure, **limits)


def _about(options: EvaluateOptions, data: DataOptions, given: Given, judge: "Judge | None") -> dict[str, Any]:
    """What the file says of the run."""
    writes = options.measure == "decisions"
    return {
        "turnpoint": version("turnpoint"),
        "model": given.build(ModelOptions).model,
        "dataset": data.dataset,
        "limit": data.limit,
        **{name: getattr(options, name) for name in ("measure", "benchmark", "per_kind", "seed")},
        "max_new_tokens": options.max_new_tokens if writes else None,
        "judge": None if judge is None else judge.name,
        "rubrics": None if judge is None else judge.fingerprint,
    }


def _open_files(options: EvaluateOptions) -> None:
    """Find out before the model runs whether its results can be written.

    Raises:
        ConfigError: they cannot.
    """
    for name, file in (("output", options.output), ("plot", options.plot)):
        if file is None:
            continue
        path = Path(file).expanduser()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("a").close()
        except OSError as error:
            raise ConfigError(f"--{name}: cannot write {path}: {error.strerror}; check the path") from None


def _write(options: EvaluateOptions, found: Mapping[str, Any]) -> None:
    if options.output is not None:
        text = json.dumps(found, ensure_ascii=False, indent=1)
        Path(options.output).expanduser().write_text(text + "\n", encoding="utf-8")
    if options.plot is not None:
        from turnpoint.report.plots import plot_confusion

        title = f"{found['model']}, {found['benchmark']}"
        plot_confusion(found["confusion"], Path(options.plot).expanduser(), title=title)


def _print(
    options: EvaluateOptions,
    measured: "Measured",
    before: Mapping[str, Any] | None,
    differences: "list[Difference]",
) -> None:
    turns = f"{options.measure}, {len(measured.report.verdicts)} turns"
    title = turns if options.benchmark == "own" else f"{options.benchmark}: {turns}"
    print_rates(measured, options.seed, title)
    if before is not None:
        print_differences(differences, f"against {before['model']}, the same turns ({options.against})")
