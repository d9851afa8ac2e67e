"""A chat server, played by a server of the standard library on this machine."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from turnpoint.errors import ConfigError
from turnpoint.sampling import ChatServer

MESSAGES = [{"role": "user", "content": "Hi"}]
BREAK_OFF = (0, "")


@contextmanager
def serving(*answers: tuple[int, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that gives these answers one after the other, and what it was sent."""
    left, heard = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
            status, answer = left.pop(0)
            if (status, answer) == BREAK_OFF:
                return
            self.send_response(status)
            self.end_headers()
            self.wfile.write((answer if isinstance(answer, str) else json.dumps(answer)).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/v1", heard
        finally:
            http.shutdown()
            thread.join()


def said(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


def test_a_reply() -> None:
    with serving((200, said("Hello"))) as (url, heard):
        chat = ChatServer(url, "small", api_key="secret", settings={"temperature": 0.5})
        assert chat.reply(MESSAGES) == "Hello"
    assert heard == [
        {"path": "/v1/chat/completions", "key": "Bearer secret", "model": "small", "messages": MESSAGES,
         "temperature": 0.5}
    ]  # fmt: skip


def test_a_busy_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    with serving((503, "busy"), (429, "slowly"), (200, said("Hello"))) as (url, heard):
        assert ChatServer(url, "small").reply(MESSAGES) == "Hello"
    assert waits == [1, 2]
    assert {each["key"] for each in heard} == {None}


def test_a_connection_that_breaks_off_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with serving(BREAK_OFF, BREAK_OFF, (200, said("Hello"))) as (url, heard):
        assert ChatServer(url, "small").reply(MESSAGES) == "Hello"
    assert len(heard) == 3


def test_a_server_that_always_breaks_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with (
        serving(*[BREAK_OFF] * 4) as (url, _),
        pytest.raises(ConfigError, match=r"^server http://127.0.0.1:\d+/v1/: does not answer \(.*disconnected"),
    ):
        ChatServer(url, "small").reply(MESSAGES)


def test_a_key_of_other_letters_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^api_key: holds a character that is not ASCII"):
        ChatServer("http://localhost:1/v1", "small", api_key="schl\u00fcssel")


def test_a_server_that_stays_busy_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with (
        serving(*[(503, "busy")] * 4) as (url, _),
        pytest.raises(ConfigError, match=r"^server http://127.0.0.1:\d+/v1/: answers 503 \(busy\)$"),
    ):
        ChatServer(url, "small").reply(MESSAGES)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((404, "no such model"), r": answers 404 \(no such model\)$"),
        ((200, "<html>"), r": answers in no form of OpenAI's \(<html>\)$"),
        ((200, {"choices": []}), r": answers in no form of OpenAI's"),
    ],
)
def test_what_a_server_gets_wrong_is_said(answer: tuple[int, Any], message: str) -> None:
    with serving(answer) as (url, _), pytest.raises(ConfigError, match=message):
        ChatServer(url, "small").reply(MESSAGES)


def test_no_server_there() -> None:
    with serving() as (url, _):
        pass
    with pytest.raises(ConfigError, match=r"^server http://127.0.0.1:\d+/v1/: cannot be reached \(.*\); check the"):
        ChatServer(url, "small").reply(MESSAGES)
