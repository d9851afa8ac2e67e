"""Samples in a file: the same whatever was done before, drawn once each, by a model here or behind a server."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.tiny import save_model
from tests.pairs.dialogues import ALL, ASKS, CALLS, says, user

from turnpoint.cli.main import main
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import ConfigError
from turnpoint.models import load_model_and_tokenizer
from turnpoint.pairs import SampledReply, Samples, prompts_of, read_samples
from turnpoint.sampling import ChatServer, ModelSampler, SamplesFile, Sampling, ServerSampler, generate_samples
from turnpoint.template import ensure_tool_template

PROMPTS = [Samples(prompt=(user(f"Question {i}"),), id=str(i)) for i in range(11)]


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> ModelSampler:
    model, tokenizer = load_model_and_tokenizer(str(save_model(tmp_path_factory.mktemp("model"))))
    ensure_tool_template(tokenizer)
    return ModelSampler(model, tokenizer, Sampling(max_new_tokens=6))


class _Counting:
    """Says which replies it was asked for, and stops after some."""

    def __init__(self, stop: int = 1000) -> None:
        self.drawn: list[str] = []
        self._stop = stop

    def draw(self, prompts: Sequence[Samples], done: Set[str], number: int, seed: int) -> Iterator[Samples]:
        for each in prompts:
            if each.id not in done:
                if len(self.drawn) == self._stop:
                    raise KeyboardInterrupt
                self.drawn.append(each.id)
                replies = tuple(SampledReply(text=f"{i}", message=says(f"{i}")) for i in range(number))
                yield each.model_copy(update={"replies": replies})


def file_at(tmp_path: Path, **settings: Any) -> SamplesFile:
    return SamplesFile(tmp_path / "samples.jsonl", {"n": 2} | settings)


def draw(file: SamplesFile, sampler: Any, number: int = 2) -> int:
    return file.draw(PROMPTS, file.open(), sampler, number=number, seed=0)


def test_drawing_goes_on_where_it_stopped(tmp_path: Path) -> None:
    file, first, second = file_at(tmp_path), _Counting(stop=4), _Counting()
    with pytest.raises(KeyboardInterrupt):
        draw(file, first)
    with file.file.open("a", encoding="utf-8") as lines:
        lines.write('{"id": "4", "prom')  # killed while it wrote a line
    assert draw(file, second) == 4
    assert first.drawn + second.drawn == [each.id for each in PROMPTS]
    assert [each.id for each in read_samples(file.file)] == [each.id for each in PROMPTS]


def test_a_file_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    draw(file_at(tmp_path), _Counting())
    with pytest.raises(
        ConfigError, match=r"samples.jsonl: was drawn with another n \(2, now 3\); give another --output"
    ):
        file_at(tmp_path, n=3).open()


def test_a_model_draws_the_same_whatever_was_done_before(sampler: ModelSampler) -> None:
    """Eight prompts of two replies make a batch: one that is partly done is drawn whole, so the rest is the same."""
    whole = list(sampler.draw(PROMPTS, set(), 2, seed=3))
    rest = list(sampler.draw(PROMPTS, {"0", "5", "8", "9"}, 2, seed=3))
    assert rest == [each for each in whole if each.id not in {"0", "5", "8", "9"}]
    assert len({reply.text for each in whole for reply in each.replies}) > len(PROMPTS)
    assert list(sampler.draw(PROMPTS, set(), 2, seed=4)) != whole


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_prompt_that_is_computed_once_gives_what_it_gives_each_time(family: str) -> None:
    """Greedy, float64: three replies over one cache are the reply without one, for prompts of several lengths."""
    from tests.cli.tiny import tokenizer as make_tokenizer
    from tests.sampling.test_generate import gpt2, llama

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    model = {"llama": llama, "gpt2": gpt2}[family](len(tokenizer)).double().eval()
    prompts = [torch.randint(3, len(tokenizer), (n,)).tolist() for n in (9, 1, 20, 4)]
    greedy = Sampling(max_new_tokens=10, temperature=0)
    alone = [generate_samples(model, tokenizer, [prompt], number=1, sampling=greedy)[0][0] for prompt in prompts]
    together = generate_samples(model, tokenizer, prompts, number=3, sampling=greedy)
    assert together == [[reply] * 3 for reply in alone]
    assert len({reply.text for reply in alone}) == len(prompts)


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (Sampling(max_new_tokens=0), "max_new_tokens: must be at least 1 token (got 0)"),
        (Sampling(temperature=-1.0), "temperature: must be 0 (greedy) or a positive number (got -1.0)"),
        (Sampling(top_k=-1), "top_k: must be a number of tokens from 0 (all) (got -1)"),
        (Sampling(top_p=0.0), "top_p: must be in (0, 1] (got 0.0)"),
    ],
)
def test_settings_under_which_nothing_can_be_drawn(sampling: Sampling, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        sampling.check()
    assert str(error.value) == message


def test_where_replies_are_drawn() -> None:
    """The last turn of a dialogue or all that follow a user; the fork of a pair; where a user waits for a reply."""
    pair = PreferencePair(
        prompt=CALLS.messages[:1], chosen=CALLS.messages[1:], rejected=(says("No."),), tools=CALLS.tools
    )
    waiting = Dialogue(messages=(says("Hello!"), user("Hi")), id="w")
    assert [each.id for each in prompts_of(ALL)] == ["asks#5", "calls#3", "refuses#1", "confirms#5"]
    assert [each.id for each in prompts_of([ASKS], every_turn=True)] == ["asks#1", "asks#3", "asks#5"]
    assert [(each.id, each.gold) for each in prompts_of([waiting], every_turn=True)] == [("w#2", ())]
    [forked, again] = prompts_of([pair, pair])
    assert (forked.prompt, forked.gold, forked.opening) == (pair.prompt, pair.chosen, pair.key)
    assert (forked.id, again.id) == ("0", "1")


def test_prompts_of_one_name_are_told_apart() -> None:
    assert [each.id for each in prompts_of([CALLS, CALLS])] == ["calls#3", "calls#3 (2)"]


@contextmanager
def answering(reply: Any, most: int = 10_000) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server of several requests at a time that falls silent after some."""
    heard: list[dict[str, Any]] = []
    busy, at_once = 0, 0
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal busy, at_once
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                heard.append(body)
                busy += 1
                at_once = max(at_once, busy)
                body["at_once"] = at_once
                count = len(heard)
            time.sleep(0.01)
            with lock:
                busy -= 1
            self.send_response(200 if count <= most else 400)
            self.end_headers()
            choice = {"message": reply(body), "finish_reason": "stop"}
            self.wfile.write(json.dumps({"choices": [choice]}).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/v1", heard
        finally:
            http.shutdown()
            thread.join()


def echo(body: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": f"{body['messages'][-1]['content']} {body['seed']}"}


def test_a_server_draws_in_order_with_several_requests_under_way() -> None:
    with answering(echo) as (url, heard):
        drawn = list(ServerSampler(ChatServer(url, "m"), concurrency=4).draw(PROMPTS, {"2"}, 3, seed=0))
    assert [each.id for each in drawn] == [each.id for each in PROMPTS if each.id != "2"]
    for each in drawn:
        assert {reply.text.rpartition(" ")[0] for reply in each.replies} == {each.prompt[0].content}
    assert len({body["seed"] for body in heard}) == len(heard) == 30
    assert 1 < max(body["at_once"] for body in heard) <= 4


def test_calls_of_a_server_are_read() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}]
    with answering(lambda body: {"role": "assistant", "content": None, "tool_calls": calls}) as (url, heard):
        [drawn] = ServerSampler(ChatServer(url, "m"), concurrency=1).draw(prompts_of([ASKS]), set(), 1, seed=0)
    message = drawn.replies[0].message
    assert message is not None
    assert (message.tool_calls[0].name, message.tool_calls[0].arguments) == ("weather", {"city": "Rome"})
    assert heard[0]["tools"][0]["function"]["name"] == "book_table"
    sent = heard[0]["messages"]
    assert json.loads(sent[3]["tool_calls"][0]["function"]["arguments"])["place"] == "Luigi's"
    assert sent[4]["tool_call_id"] == sent[3]["tool_calls"][0]["id"]


def test_a_call_that_breaks_the_form_stays_a_reply() -> None:
    calls = [{"type": "function", "function": {"name": "weather", "arguments": "{broken"}}]
    with answering(lambda body: {"role": "assistant", "content": "", "tool_calls": calls}) as (url, _):
        [drawn] = ServerSampler(ChatServer(url, "m"), concurrency=1).draw(PROMPTS[:1], set(), 1, seed=0)
    assert "{broken" in drawn.replies[0].text


def test_what_a_server_gave_before_it_failed_is_kept(tmp_path: Path) -> None:
    file = file_at(tmp_path)
    with answering(echo, most=9) as (url, _), pytest.raises(ConfigError, match="answers 400"):
        draw(file, ServerSampler(ChatServer(url, "m"), concurrency=2))
    kept = [each.id for each in read_samples(file.file)]
    assert 0 < len(kept) < len(PROMPTS)
    with answering(echo) as (url, heard):
        assert draw(file, ServerSampler(ChatServer(url, "m"), concurrency=2)) == len(kept)
    assert len(heard) == 2 * (len(PROMPTS) - len(kept))
    assert [each.id for each in read_samples(file.file)] == [each.id for each in PROMPTS]


def test_a_process_that_is_killed_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """`turnpoint sample` against a server, killed in the middle with SIGKILL, and run again."""
    data, output = tmp_path / "data.jsonl", tmp_path / "samples.jsonl"
    rows = [{"messages": [{"role": "user", "content": f"Question {i}"}], "id": f"d{i}"} for i in range(60)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with answering(echo) as (url, _):
        command = [sys.executable, "-m", "turnpoint", "sample", str(data), "--server", url, "--model", "m", "--n", "2",
                   "--concurrency", "2", "--output", str(output)]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (output.exists() and output.read_bytes().count(b"\n") >= 5):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = output.read_bytes().count(b"\n")
        subprocess.run(command, check=True, capture_output=True)
    assert 5 <= kept < 60
    drawn = list(read_samples(output))
    assert [each.id for each in drawn] == [f"d{i}#1" for i in range(60)]
    assert all(len(each.replies) == 2 for each in drawn)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dtype", "bfloat16"], "dtype: has no effect on a model behind a server (got 'bfloat16'); leave it out"),
        (["--n", "0"], "n: must be at least 1 reply (got 0)"),
        (["--concurrency", "0"], "concurrency: must be at least 1 request (got 0)"),
    ],
)
def test_settings_that_cannot_be_honoured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"messages": [{"role": "user", "content": "Hi"}]}\n', encoding="utf-8")
    command = ["sample", str(data), "--server", "http://localhost:1/v1", "--output", str(tmp_path / "s.jsonl"), *words]
    assert main(command) == 2
    assert message in capsys.readouterr().err


def test_samples_of_other_weights_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = tmp_path / "data.jsonl", str(save_model(tmp_path / "model"))
    data.write_text('{"messages": [{"role": "user", "content": "Hi"}]}\n', encoding="utf-8")
    command = ["sample", str(data), "--model", model, "--n", "2", "--max_new_tokens", "2",
               "--output", str(tmp_path / "s.jsonl")]  # fmt: skip
    assert main(command) == 0
    assert main([*command, "--dtype", "float64"]) == 2
    assert "was drawn with another dtype ('float32', now 'float64')" in capsys.readouterr().err
