"""`turnpoint pairs trajectories DATA`: preference pairs out of dialogues."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from turnpoint.cli.given import Given
from turnpoint.cli.groups import DataOptions, ModelOptions, OutputOptions
from turnpoint.cli.loading import open_model, say
from turnpoint.cli.options import Verb
from turnpoint.cli.output import print_json, print_table
from turnpoint.cli.pairs.writing import say_left_out, write
from turnpoint.data import load_dialogues
from turnpoint.dialogue import Dialogue, Message
from turnpoint.doctor.scripts import NO_LETTERS, script_of, scripts
from turnpoint.errors import ConfigError, DataError
from turnpoint.pairs import Built, LanguageModelWriter, PhraseWriter, Writer, phrase_bank, row_quotas, trajectory_pairs
from turnpoint.pairs.language_model import Complete

_KEY = "OPENAI_API_KEY"
_LONGEST = 256  # tokens of what a model words


@dataclass(frozen=True, kw_only=True)
class PairsOptions(OutputOptions):
    """What to build."""

    output: str = field(metadata={"help": "JSONL file to write the pairs to"})
    easy: int | None = field(default=None, metadata={"help": "pairs of the easy set; null with no other size: all"})
    hard: int | None = field(default=None, metadata={"help": "pairs of the hard set; likewise"})
    beyond: int | None = field(
        default=None,
        metadata={"help": "pairs beyond that table, at turns inside a request: repeated calls, forced calls and more"},
    )
    types: list[float] | None = field(
        default=None,
        metadata={
            "help": "weights of query types 1 (all slots given), 2 (slots missing) and 3 (no tool fits) in a set;"
            " null keeps the paper's"
        },
    )
    distractors: int = field(
        default=0, metadata={"help": "tools of other dialogues to offer beside those of each pair, at most"}
    )
    seed: int = field(default=0, metadata={"help": "of every random choice; the same seed gives the same file"})


@dataclass(frozen=True, kw_only=True)
class WriterOptions:
    """Who words what the dialogues do not say."""

    phrases: str = field(
        default="en", metadata={"help": "language of the phrases (en, ko, zh), or a YAML file of your own"}
    )
    server: str | None = field(
        default=None,
        metadata={"help": f"address of an OpenAI-compatible server whose model words instead; its key in {_KEY}"},
    )
    model: str | None = field(
        default=None,
        metadata={"help": "model that words instead of phrases: its name at the server, else hub name or folder"},
    )
    temperature: float = field(default=0.7, metadata={"help": "of that model"})


VERB = Verb(
    name="pairs trajectories",
    about=(
        "Preference pairs out of complete tool dialogues: every row of DiaTool-DPO's table, both sides as whole ways"
        " through the states of a dialogue. Every text is checked, whoever wrote it; what breaks a rule is left out and"
        " counted."
    ),
    groups={"Pairs": PairsOptions, "Writer": WriterOptions, "Data": DataOptions},
    positional=("dataset",),
)


def run(given: Given) -> None:
    """Build, check, write and count."""
    options, data = given.build(PairsOptions), given.build(DataOptions)
    quotas = row_quotas(easy=options.easy, hard=options.hard, beyond=options.beyond, types=options.types)
    wording = given.build(WriterOptions)
    writer = _writer(wording, given, options.seed)
    dialogues, notes = load_dialogues(data.dataset, **data.arguments())
    for note in (*notes, *_other_script(wording, dialogues)):
        say(note)
    built = trajectory_pairs(
        dialogues,
        writer=writer,
        quotas=quotas,
        distractors=options.distractors,
        seed=options.seed,
        progress="Pairs of dialogues",
    )
    if not built.pairs:
        reasons = "; ".join(f"{reason} ({times})" for reason, times in built.not_possible.most_common(3))
        raise DataError(
            f"{data.dataset}: no pair can be built of {len(dialogues)} dialogues ({reasons or 'they offer no tools'});"
            " give complete dialogues with tools, calls, results and answers"
        )
    write(built.pairs, options.output)
    _report(built, quotas, len(dialogues), options)


def _writer(options: WriterOptions, given: Given, seed: int) -> Writer:
    if options.model is None:
        if idle := next((name for name in ("server", "temperature") if name in given.values), None):
            raise ConfigError(f"{idle}: has no effect without a model (got {given.values[idle]}); add --model NAME")
        return PhraseWriter(phrase_bank(options.phrases))
    if "phrases" in given.values:
        raise ConfigError(f"phrases: are not used where a model words (got {options.phrases!r}); leave one out")
    if options.server is not None:
        from turnpoint.sampling import ChatServer

        settings = {"temperature": options.temperature, "seed": seed, "max_tokens": _LONGEST}
        server = ChatServer(options.server, options.model, api_key=os.environ.get(_KEY), settings=settings)
        return LanguageModelWriter(lambda text: server.reply([{"role": "user", "content": text}]))
    return LanguageModelWriter(_local(options, seed))


def _other_script(options: WriterOptions, dialogues: Sequence[Dialogue]) -> list[str]:
    """A line where phrases are written in another script than the dialogues."""
    if options.model is not None:
        return []
    written, phrases = (
        next(iter(scripts(dialogues)), NO_LETTERS),
        script_of(" ".join(phrase_bank(options.phrases).questions)),
    )
    if written in (phrases, NO_LETTERS):
        return []
    return [
        f"most dialogues are written in {written} letters, the phrases of {options.phrases} in {phrases}; see --phrases"
    ]


def _local(options: WriterOptions, seed: int) -> Complete:
    """Replies of a model in this process, each sampled with a seed of its own."""
    from turnpoint.sampling import generate_replies
    from turnpoint.template import Renderer

    model, tokenizer = open_model(ModelOptions(model=options.model or ""))
    renderer, seeds = Renderer(tokenizer), count(seed)

    def complete(text: str) -> str:
        prompt = renderer.prompt_ids((Message(role="user", content=text),), ())
        [reply] = generate_replies(
            model,
            tokenizer,
            [prompt],
            max_new_tokens=_LONGEST,
            temperature=options.temperature,
            seed=next(seeds),
        )
        return reply.text

    return complete


def _report(built: Built, quotas: dict[str, int] | None, dialogues: int, options: PairsOptions) -> None:
    rows = Counter((str(pair.about["set"]), int(pair.about["query_type"]), pair.kind) for pair in built.pairs)
    if options.json:
        counted = [{"set": set, "query_type": type, "kind": kind, "pairs": n} for (set, type, kind), n in rows.items()]
        print_json(
            {"output": options.output, "pairs": len(built.pairs), "rows": counted, "left_out": built.not_possible}
        )
        return
    print_table(
        ["set", "query type", "kind", "pairs"],
        [[*row, pairs] for row, pairs in sorted(rows.items())],
        title=f"{options.output}: {len(built.pairs)} pairs of {dialogues} dialogues",
    )
    say_left_out(built)
    if quotas is not None:
        _say_what_is_short(quotas, built)


def _say_what_is_short(quotas: dict[str, int], built: Built) -> None:
    made = Counter(str(pair.about["row"]) for pair in built.pairs)
    short = {row: quota - made[row] for row, quota in quotas.items() if made[row] < quota}
    if short:
        rows = ", ".join(f"{row} ({count})" for row, count in sorted(short.items(), key=lambda each: -each[1]))
        say(f"{sum(short.values())} pairs fewer than asked for: the dialogues do not give more of {rows}")
