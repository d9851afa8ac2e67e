"""Replies to many prompts, drawn by a model in this process or by a server, into a file that can be gone on with."""

import json
from collections import deque
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from pydantic import ValidationError
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.dialogue import Message
from turnpoint.errors import ConfigError
from turnpoint.pairs.lines import whole_lines
from turnpoint.pairs.samples import SampledReply, Samples
from turnpoint.progress import with_progress
from turnpoint.sampling.generate import Sampling, generate_samples
from turnpoint.sampling.server import ChatServer
from turnpoint.template import Renderer, parse_reply

_AT_ONCE = 16  # replies that a model in this process writes in one batch, about


class Sampler(Protocol):
    """Draws replies. What it draws for a prompt does not depend on which ones were done before."""

    def draw(self, prompts: Sequence[Samples], done: Set[str], number: int, seed: int) -> Iterator[Samples]:
        """The prompts whose ids are not `done`, with `number` replies each, in their order, as they come."""


class ModelSampler:
    """A model in this process.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, with a chat template that renders tools.
        sampling: how tokens are drawn.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, sampling: Sampling) -> None:
        sampling.check()
        self._model, self._tokenizer, self._sampling = model, tokenizer, sampling
        self._renderer = Renderer(tokenizer)

    def draw(self, prompts: Sequence[Samples], done: Set[str], number: int, seed: int) -> Iterator[Samples]:
        """The prompts with their replies, a batch after the other; a batch is drawn whole or not at all."""
        size = max(1, _AT_ONCE // number)
        for batch in (prompts[i : i + size] for i in range(0, len(prompts), size)):
            if all(each.id in done for each in batch):
                continue
            ids = [self._renderer.prompt_ids(each.prompt, each.tools, each.source) for each in batch]
            replies = generate_samples(
                self._model,
                self._tokenizer,
                ids,
                number=number,
                sampling=self._sampling,
                seed=_seed(seed, batch[0].id),
            )
            for drawn, of_prompt in zip(batch, replies, strict=True):
                if drawn.id not in done:
                    read = tuple(SampledReply(text=r.text, message=_message(r.text), cut=r.cut) for r in of_prompt)
                    yield drawn.model_copy(update={"replies": read})


class ServerSampler:
    """A model behind a server; several requests are under way at a time.

    Args:
        server: where the model is.
        concurrency: requests under way at most.
    """

    def __init__(self, server: ChatServer, concurrency: int) -> None:
        if concurrency < 1:
            raise ConfigError(f"concurrency: must be at least 1 request (got {concurrency})")
        self._server, self._concurrency = server, concurrency

    def draw(self, prompts: Sequence[Samples], done: Set[str], number: int, seed: int) -> Iterator[Samples]:
        """The prompts with their replies; a request for each reply, with a seed of its own."""
        waiting: deque[tuple[Samples, list[Future[SampledReply]]]] = deque()
        with ThreadPoolExecutor(self._concurrency) as pool:
            try:
                for drawn in (each for each in prompts if each.id not in done):
                    seeds = [_seed(seed, f"{drawn.id} {i}") for i in range(number)]
                    waiting.append((drawn, [pool.submit(self._reply, drawn, each) for each in seeds]))
                    while len(waiting) > self._concurrency or (waiting and _done(waiting[0][1])):
                        yield _finished(*waiting.popleft())
                while waiting:
                    yield _finished(*waiting.popleft())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _reply(self, drawn: Samples, seed: int) -> SampledReply:
        tools = {"tools": [tool.openai() for tool in drawn.tools]} if drawn.tools else {}
        choice = self._server.choice([_sent(message) for message in drawn.prompt], seed=seed, **tools)
        written = choice["message"]
        text, cut = written.get("content") or "", choice.get("finish_reason") == "length"
        if not written.get("tool_calls"):
            return SampledReply(text=text, message=_message(text), cut=cut)
        try:
            message = Message(role="assistant", content=text or None, tool_calls=written["tool_calls"])
        except ValidationError:  # a call that breaks the form is a reply like another one, and a bad one
            return SampledReply(text=json.dumps(written, ensure_ascii=False), message=_message(json.dumps(written)))
        return SampledReply(
            text=text or json.dumps(written["tool_calls"], ensure_ascii=False), message=message, cut=cut
        )


@dataclass(frozen=True)
class SamplesFile:
    """A file of samples that is written prompt by prompt. What is there is kept: drawing goes on where it stopped.

    Attributes:
        file: JSON lines; beside it `FILE.settings.json` says how they were drawn.
        settings: everything that the replies depend on.
    """

    file: Path
    settings: dict[str, Any]

    def draw(
        self,
        prompts: Sequence[Samples],
        done: Set[str],
        sampler: Sampler,
        *,
        number: int,
        seed: int,
        progress: str | None = None,
    ) -> int:
        """Draw replies to the prompts that have none in the file yet.

        Args:
            prompts: those wanted; their ids differ.
            done: what `open` gave.
            sampler: draws.
            number: replies to each prompt.
            seed: of the draws.
            progress: title of a progress bar; None shows none.

        Returns:
            How many prompts had their replies before.
        """
        before = sum(each.id in done for each in prompts)
        drawn = sampler.draw(prompts, done, number, seed)
        with self.file.open("a", encoding="utf-8", newline="\n") as lines:
            for each in with_progress(drawn, progress, total=len(prompts) - before):
                lines.write(json.dumps(each.row()) + "\n")
                lines.flush()
        return before

    def open(self) -> set[str]:
        """The ids of the prompts that are done; a line that was cut off is taken away.

        Raises:
            ConfigError: the file was drawn with other settings.
        """
        beside = self.file.with_name(f"{self.file.name}.settings.json")
        self.file.parent.mkdir(parents=True, exist_ok=True)
        if not self.file.exists():
            beside.write_text(json.dumps(self.settings, indent=1), encoding="utf-8")
            return set()
        known = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}
        changed = [name for name, value in self.settings.items() if known.get(name) != value]
        if changed:
            raise ConfigError(
                f"{self.file}: was drawn with another {changed[0]} ({known.get(changed[0])!r}, now"
                f" {self.settings[changed[0]]!r}); give another --output, or remove the file"
            )
        return {json.loads(line)["id"] for line in whole_lines(self.file)}


def _message(text: str) -> Message | None:
    """What a text was read as; a call that cannot be read stays text."""
    content, calls = parse_reply(text)
    return Message(role="assistant", content=content, tool_calls=calls) if content or calls else None


def _sent(message: Message) -> dict[str, Any]:
    """The message as servers take it: the arguments of calls as a string, with an id for each call."""
    sent = message.openai()
    for number, call in enumerate(sent.get("tool_calls", [])):
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        call.setdefault("id", f"call_{number}")
    if message.role == "tool":
        sent.setdefault("tool_call_id", "call_0")
    return sent


def _done(replies: Sequence[Future[SampledReply]]) -> bool:
    return all(reply.done() for reply in replies)


def _finished(drawn: Samples, replies: Sequence[Future[SampledReply]]) -> Samples:
    return drawn.model_copy(update={"replies": tuple(reply.result() for reply in replies)})


def _seed(seed: int, what: str) -> int:
    """A seed of its own for each thing that is drawn, the same on every machine."""
    return Random(f"{seed}:{what}").getrandbits(31)
