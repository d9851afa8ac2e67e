"""The chat loop: what it prints and what the model is given, with replies written by hand and with a model."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import TOOL, Ran
from tests.cli.tiny import tokenizer
from tests.sampling.handmade_models import chain_model

from turnpoint.cli.chat import talk
from turnpoint.dialogue import Message, Tool
from turnpoint.sampling import Reply

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'


class Replies:
    """Gives the replies in turn and keeps the messages each was asked with, as (role, content)."""

    def __init__(self, *texts: str, cut: bool = False) -> None:
        self.texts = list(texts)
        self.cut = cut
        self.asked: list[list[tuple[str, str | None]]] = []

    def __call__(self, messages: list[Message]) -> Reply:
        self.asked.append([(message.role, message.content) for message in messages])
        return Reply(self.texts.pop(0), self.cut)


@pytest.fixture
def type_lines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def type_them(*lines: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))

    return type_them


def test_a_dialogue_with_a_call(type_lines: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    type_lines("Weather in Paris?", "", "sunny", "Thanks")
    replies = Replies(CALL, "It is sunny.", "You are welcome.")
    talk(replies, (Tool.model_validate(TOOL),), None)
    assert capsys.readouterr().out.splitlines() == [
        'call> weather({"city": "Paris"})',
        "model> It is sunny.",
        "model> You are welcome.",
    ]
    assert replies.asked[1] == [("user", "Weather in Paris?"), ("assistant", None), ("tool", "sunny")]
    assert replies.asked[2][-2:] == [("assistant", "It is sunny."), ("user", "Thanks")]


def test_an_unknown_tool_is_marked(type_lines: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    type_lines("Weather?")
    talk(Replies(CALL), (), None)
    assert capsys.readouterr().out.splitlines() == ['call> weather({"city": "Paris"})  (unknown tool)']


def test_a_call_that_cannot_be_read_is_marked(
    type_lines: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    type_lines("Weather?")
    talk(Replies('<tool_call>\n{"name": "weather", "arg'), (), None)
    assert capsys.readouterr().out.splitlines()[-1].endswith("(a call that cannot be read)")


def test_a_reply_that_was_cut_is_marked(type_lines: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    type_lines("Weather?")
    talk(Replies("It is", cut=True), (), None)
    assert capsys.readouterr().out.splitlines() == ["model> It is", "(cut here: the reply reached --max_new_tokens)"]


def test_reset_forgets_all_but_the_system_message_even_when_a_result_is_awaited(
    type_lines: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    type_lines("Weather?", "/reset", "Hi", "/quit", "never read")
    replies = Replies(CALL, "Hello.")
    talk(replies, (Tool.model_validate(TOOL),), "Be brief.")
    assert replies.asked[1] == [("system", "Be brief."), ("user", "Hi")]
    assert capsys.readouterr().out.splitlines()[1:] == ["(started again)", "model> Hello."]


def test_an_empty_reply_takes_the_message_back(
    type_lines: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    type_lines("Hi", "Hello?")
    replies = Replies("", "Yes?")
    talk(replies, (), None)
    assert replies.asked[1] == [("user", "Hello?")]
    assert "the model said nothing" in capsys.readouterr().out


def test_an_empty_reply_to_a_result_takes_the_whole_exchange_back(type_lines: Callable[..., None]) -> None:
    type_lines("Hi", "Weather?", "sunny", "Hello?")
    replies = Replies("Yes?", CALL, "", "Hello.")
    talk(replies, (Tool.model_validate(TOOL),), "Be brief.")
    assert replies.asked[3] == [("system", "Be brief."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "Hello?")]


def test_chat_with_a_model_through_a_pipe(
    run: Callable[..., Ran], type_lines: Callable[..., None], tmp_path: Path
) -> None:
    own = tokenizer()
    chain_model(own, own("It is sunny.")["input_ids"]).save_pretrained(tmp_path)
    own.save_pretrained(tmp_path)
    type_lines("Weather in Paris?", "And in Rome?", "/quit", "never read")
    ran = run("chat", str(tmp_path))
    assert (ran.code, ran.out) == (0, "model> It is sunny.\n" * 2)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (("--max_new_tokens", "0"), "error: max_new_tokens: must be at least 1 token (got 0)"),
        (("--temperature", "-1"), "error: temperature: must be 0 (greedy) or a positive number (got -1.0)"),
    ],
)
def test_settings_out_of_range(run: Callable[..., Ran], model: str, setting: tuple[str, str], line: str) -> None:
    assert run("chat", model, *setting) == Ran(2, "", f"{line}\n")
