"""`turnpoint chat MODEL --serve` as a process of its own: with our client, killed, stopped, its port taken."""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from tests.cli.conftest import TOOL, Ran
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.sampling.handmade_models import scripted, unigram_model

from turnpoint.dialogue import Tool
from turnpoint.errors import ConfigError
from turnpoint.sampling import ChatServer

HI = [{"role": "user", "content": "Weather in Paris?"}]
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
OFFERED = Tool.model_validate(TOOL).openai()


class Serving(NamedTuple):
    url: str
    process: "subprocess.Popen[str]"


@contextmanager
def serving(model: Path, *words: str) -> Iterator[Serving]:
    """A server on a free port, once it has said that it serves."""
    command = [sys.executable, "-m", "turnpoint", "chat", str(model), "--serve", "--port", "0", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            lines = []
            for line in process.stderr:
                lines.append(line)
                if ready := re.fullmatch(rf"serving {re.escape(str(model))} at (http://127\.0\.0\.1:\d+/v1)\n", line):
                    yield Serving(ready[1], process)
                    return
            pytest.fail(f"the server ended: {''.join(lines)}")
        finally:
            process.kill()


@contextmanager
def talking(url: str, model: str, **settings: Any) -> Iterator[ChatServer]:
    """Our client, its connections closed at the end."""
    chat = ChatServer(url, model, settings=settings)
    with chat._client:
        yield chat


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that calls the tool."""
    folder = tmp_path_factory.mktemp("caller")
    tokenizer = make_tokenizer()
    scripted(tokenizer, "Let me see.\n", CALL).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never ends its turn."""
    folder = tmp_path_factory.mktemp("endless")
    tokenizer = make_tokenizer()
    unigram_model(tokenizer, {tokenizer.convert_tokens_to_ids("a"): 50.0}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_our_client_and_another_talk_to_it(caller: Path) -> None:
    with serving(caller) as (url, process), talking(url, str(caller), temperature=0) as chat:
        choice = chat.choice(HI, tools=[OFFERED])
        assert choice["finish_reason"] == "tool_calls"
        message = choice["message"]
        assert message["content"] == chat.reply(HI) == "Let me see."
        assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny"}
        assert chat.choice([*HI, message, result], tools=[OFFERED])["message"]["tool_calls"]
        with pytest.raises(ConfigError, match=r"answers 400 \(.*messages\[0\].role: unknown role"):
            chat.reply([{"role": "robot", "content": "Hi"}])
        with talking(url, "gpt-4") as other, pytest.raises(ConfigError, match=r"answers 404 \(.*'gpt-4' is not served"):
            other.reply(HI)
        assert httpx.get(f"{url}/models").json()["data"][0]["id"] == str(caller)
        with httpx.stream("POST", f"{url}/chat/completions", json={"messages": HI, "stream": True}) as answer:
            events = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
        assert events[-1] == "[DONE]"
        assert json.loads(events[1])["choices"][0]["delta"] == {"content": "Let me see."}
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.communicate() == ("", "")


def test_a_server_that_is_killed_in_the_middle_of_a_reply(endless: Path) -> None:
    with serving(endless) as (url, process), talking(url, str(endless), max_tokens=4000) as chat:
        faults: list[str] = []

        def ask() -> None:
            try:
                chat.reply(HI)
            except ConfigError as error:
                faults.append(str(error))

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(1)
        process.kill()
        asking.join(60)
    [fault] = faults
    assert re.fullmatch(rf"server {re.escape(url)}/: cannot be reached \(.*refused.*\); check the address", fault)


def test_who_stops_listening_stops_the_reply_and_the_next_is_served(endless: Path) -> None:
    """A reply of 4000 tokens takes far longer than the second request may wait."""
    with serving(endless) as (url, process):
        request = {"messages": HI, "max_tokens": 4000}
        with httpx.stream("POST", f"{url}/chat/completions", json=request | {"stream": True}, timeout=30) as answer:
            assert next(answer.iter_lines()).startswith("data: ")
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/chat/completions", json=request, timeout=1)
        started = time.monotonic()
        assert httpx.post(f"{url}/chat/completions", json=request | {"max_tokens": 2}, timeout=30).status_code == 200
        assert time.monotonic() - started < 3
        assert httpx.get(url.replace("/v1", "/health"), timeout=30).json() == {"status": "ok"}
        with httpx.stream("POST", f"{url}/chat/completions", json=request | {"stream": True}, timeout=30) as answer:
            next(answer.iter_lines())
            process.send_signal(signal.SIGINT)  # a reply under way does not keep it
            assert process.wait(30) == 0


def test_a_port_that_is_taken(run: Callable[..., Ran], model: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = run("chat", model, "--serve", "--port", str(port))
    assert ran == Ran(
        2,
        "",
        f"error: port: {port} cannot be listened on (Address already in use); name another, 0 takes a free one\n",
    )
    assert "error: port: 70000 cannot be listened on (" in run("chat", model, "--serve", "--port", "70000").err


@pytest.mark.parametrize("flag", ["tools", "system", "compare", "tool_functions", "tool_results"])
def test_settings_of_a_chat_in_the_terminal_are_refused(run: Callable[..., Ran], flag: str) -> None:
    assert run("chat", "demo", "--serve", f"--{flag}", "x").err == (
        f"error: {flag}: has no effect with --serve, since each request brings its own messages and tools (got 'x');"
        " leave it out\n"
    )


def test_the_extra_is_needed(run: Callable[..., Ran], model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name))
    assert run("chat", model, "--serve").err == "error: serve: needs uvicorn; run: pip install 'turnpoint[serve]'\n"
