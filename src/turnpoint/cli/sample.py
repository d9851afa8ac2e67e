"""`turnpoint sample DATA --model M`: several replies of a model to each prompt, in a file that can be gone on with."""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from turnpoint.cli.given import Given
from turnpoint.cli.groups import DataOptions, ModelOptions, OutputOptions
from turnpoint.cli.loading import on_device, open_model, say
from turnpoint.cli.options import Verb
from turnpoint.cli.output import print_json, print_table
from turnpoint.data import load
from turnpoint.errors import ConfigError, DataError
from turnpoint.pairs import Samples, prompts_of, read_samples
from turnpoint.sampling import ChatServer, ModelSampler, Sampler, SamplesFile, Sampling, ServerSampler

KEY = "OPENAI_API_KEY"


@dataclass(frozen=True, kw_only=True)
class SampleOptions(OutputOptions):
    """What to draw."""

    output: str = field(metadata={"help": "JSONL file of the samples; one that is there is gone on with"})
    n: int = field(default=10, metadata={"help": "replies to each prompt"})
    turns: Literal["last", "all"] = field(
        default="last",
        metadata={
            "help": "where to draw in a dialogue: its last turn, or all turns; pairs are drawn from at their fork"
        },
    )
    temperature: float = field(default=1.0, metadata={"help": "of the draws; 0 is greedy"})
    top_k: int = field(default=0, metadata={"help": "draw from the likeliest K tokens; 0 from all"})
    top_p: float = field(default=1.0, metadata={"help": "draw from the likeliest tokens that hold this probability"})
    max_new_tokens: int = field(default=128, metadata={"help": "tokens of the longest reply"})
    seed: int = field(default=0, metadata={"help": "of the draws"})
    text: str | None = field(
        default=None, metadata={"help": "text file for reading, beside the JSONL: Q: ... A[1]: ... A[2]: ..."}
    )


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """A server in the place of a model in this process."""

    server: str | None = field(
        default=None,
        metadata={"help": f"address of an OpenAI-compatible server where the model is (vLLM, ...); its key in {KEY}"},
    )
    concurrency: int = field(default=16, metadata={"help": "requests to the server under way at a time"})


VERB = Verb(
    name="sample",
    about=(
        "Draw several replies of a model to each prompt of dialogues or pairs, for `turnpoint pairs samples`. Killed"
        " half-way, the same command goes on: no prompt is lost and none is drawn twice."
    ),
    groups={"Samples": SampleOptions, "Server": ServerOptions, "Model": ModelOptions, "Data": DataOptions},
    positional=("dataset",),
)


def run(given: Given) -> None:
    """Draw and count."""
    options, data = given.build(SampleOptions), given.build(DataOptions)
    sampling = Sampling(options.max_new_tokens, options.temperature, options.top_k, options.top_p)
    sampling.check()
    if options.n < 1:
        raise ConfigError(f"n: must be at least 1 reply (got {options.n})")
    loaded = load(data.dataset, **data.arguments())
    for note in loaded.notes:
        say(note)
    prompts = prompts_of(loaded.records, every_turn=options.turns == "all")
    if not prompts:
        raise DataError(f"{data.dataset}: no user says anything, so there is nothing to reply to")
    file = SamplesFile(Path(options.output).expanduser(), _settings(given, options))
    known = file.open()
    before = file.draw(
        prompts, known, _sampler(given, sampling), number=options.n, seed=options.seed, progress="sample"
    )
    _report(options, file.file, prompts, before)


def _settings(given: Given, options: SampleOptions) -> dict[str, Any]:
    """What the replies depend on, so that a file holds those of one setting alone."""
    names = ("n", "temperature", "top_k", "top_p", "max_new_tokens", "seed")
    data = given.build(DataOptions)
    of_data = {name: getattr(data, name) for name in ("dataset", "format", "split")}
    server = {"server": given.build(ServerOptions).server}
    return {name: getattr(options, name) for name in names} | of_data | server | asdict(given.build(ModelOptions))


def _sampler(given: Given, sampling: Sampling) -> Sampler:
    model, server = given.build(ModelOptions), given.build(ServerOptions)
    if server.server is None:
        if "concurrency" in given.values:
            raise ConfigError(
                f"concurrency: has no effect without a server (got {server.concurrency}); add --server URL"
            )
        loaded, tokenizer = open_model(model)
        return ModelSampler(on_device(loaded, model), tokenizer, sampling)
    idle = [item.name for item in fields(ModelOptions) if item.name != "model" and item.name in given.values]
    if idle:
        raise ConfigError(
            f"{idle[0]}: has no effect on a model behind a server (got {given.values[idle[0]]!r}); leave it out"
        )
    settings = {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_new_tokens}
    settings |= {"top_k": sampling.top_k} if sampling.top_k else {}
    chat = ChatServer(server.server, model.model, api_key=os.environ.get(KEY), settings=settings)
    return ServerSampler(chat, server.concurrency)


def _report(options: SampleOptions, file: Path, prompts: list[Samples], before: int) -> None:
    wanted = {each.id for each in prompts}
    drawn = [each for each in read_samples(file) if each.id in wanted]
    if options.text is not None:
        Path(options.text).expanduser().write_text("".join(_as_text(drawn)), encoding="utf-8")
    replies = [reply for each in drawn for reply in each.replies]
    counts = {
        "prompts": len(drawn),
        "drawn before": before,
        "replies": len(replies),
        "empty": sum(reply.message is None for reply in replies),
        "cut at max_new_tokens": sum(reply.cut for reply in replies),
    }
    if options.json:
        print_json({"output": options.output, **counts})
    else:
        print_table(["", "number"], [[name, count] for name, count in counts.items()], title=options.output)


def _as_text(samples: Iterable[Samples]) -> Iterable[str]:
    """Each prompt as what its user said last, and the replies under it."""
    for each in samples:
        asked = next((message.content for message in reversed(each.prompt) if message.role == "user"), "")
        yield f"Q: {asked}\n"
        yield from (f"A[{number}]: {reply.text}\n" for number, reply in enumerate(each.replies, start=1))
        yield "\n"
