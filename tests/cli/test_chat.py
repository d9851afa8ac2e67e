"""The chat: what it prints and what the model is given, with replies written by hand and with a model."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.cli.conftest import TOOL, Ran
from tests.cli.tiny import tokenizer
from tests.sampling.handmade_models import chain_model, unigram_model

from turnpoint.cli.talk import Speaker, Talk
from turnpoint.cli.tool_answers import Answer, tool_answers
from turnpoint.data import load_dialogues
from turnpoint.dialogue import Message, Tool
from turnpoint.sampling import Said, Show
from turnpoint.template import parse_reply, settled_content

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
WEATHER = (Tool.model_validate(TOOL),)
SHOWN_CALL = 'call> weather({"city": "Paris"})'
TAKEN_BACK = "your last message is taken back"
Type = Callable[..., None]
Captured = pytest.CaptureFixture[str]


class Replies:
    """Gives the replies in turn, word by word, and keeps the messages each was asked with, as (role, content).

    The word INTERRUPT stands for Ctrl-C.
    """

    def __init__(self, *texts: str, cut: bool = False) -> None:
        self.texts = list(texts)
        self.cut = cut
        self.asked: list[list[tuple[str, str | None]]] = []

    def __call__(self, messages: Sequence[Message], show: Show) -> Said:
        self.asked.append([(message.role, message.content) for message in messages])
        text, interrupt, _ = self.texts.pop(0).partition("INTERRUPT")
        show(settled_content(text))
        if interrupt:
            raise KeyboardInterrupt
        content, calls = parse_reply(text)
        show((content or "").removeprefix(settled_content(text)))
        return Said(content, calls, self.cut, tokens=1)


def talk(replies: Replies, tools: Sequence[Tool] = (), system: str | None = None, answer: Answer | None = None) -> None:
    Talk([Speaker("model", replies)], tools, answer or tool_answers(None, None, tools), system).talk()


@pytest.fixture
def type_lines(monkeypatch: pytest.MonkeyPatch) -> Type:
    def type_them(*lines: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))

    return type_them


def test_a_dialogue_with_a_call(type_lines: Type, capsys: Captured) -> None:
    type_lines("Weather in Paris?", "", "sunny", "Thanks")
    replies = Replies(CALL, "It is sunny.", "You are welcome.")
    talk(replies, WEATHER)
    assert capsys.readouterr().out.splitlines() == [SHOWN_CALL, "model> It is sunny.", "model> You are welcome."]
    assert replies.asked[1] == [("user", "Weather in Paris?"), ("assistant", None), ("tool", "sunny")]
    assert replies.asked[2][-2:] == [("assistant", "It is sunny."), ("user", "Thanks")]


def test_content_beside_a_call_stands_before_it(type_lines: Type, capsys: Captured) -> None:
    type_lines("Weather?", "sunny")
    talk(Replies(f"I will look.\n{CALL}", "Sunny."), WEATHER)
    assert capsys.readouterr().out.splitlines() == ["model> I will look.", SHOWN_CALL, "model> Sunny."]


def test_an_unknown_tool_is_marked(type_lines: Type, capsys: Captured) -> None:
    type_lines("Weather?")
    talk(Replies(CALL))
    assert capsys.readouterr().out.splitlines() == [f"{SHOWN_CALL}  (unknown tool)"]


def test_a_call_that_cannot_be_read_is_marked(type_lines: Type, capsys: Captured) -> None:
    type_lines("Weather?")
    talk(Replies('<tool_call>\n{"name": "weather", "arg'))
    assert capsys.readouterr().out.splitlines()[-1].endswith("(a call that cannot be read)")


def test_a_reply_that_was_cut_is_marked(type_lines: Type, capsys: Captured) -> None:
    type_lines("Weather?")
    talk(Replies("It is", cut=True))
    assert capsys.readouterr().out.splitlines() == ["model> It is", "(cut here: the reply reached --max_new_tokens)"]


def test_an_empty_reply_takes_the_message_back(type_lines: Type, capsys: Captured) -> None:
    type_lines("Hi", "Hello?")
    replies = Replies("", "Yes?")
    talk(replies)
    assert replies.asked[1] == [("user", "Hello?")]
    assert f"(the model said nothing; {TAKEN_BACK})" in capsys.readouterr().out


def test_an_empty_reply_to_a_result_takes_the_whole_exchange_back(type_lines: Type) -> None:
    type_lines("Hi", "Weather?", "sunny", "Hello?")
    replies = Replies("Yes?", CALL, "", "Hello.")
    talk(replies, WEATHER, "Be brief.")
    assert replies.asked[3] == [("system", "Be brief."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "Hello?")]


def test_rounds_of_calls_come_to_an_end(type_lines: Type, capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"weather": "sunny"}')
    type_lines("Weather?")
    talk(Replies(*[CALL] * 16), WEATHER, answer=tool_answers(None, str(tmp_path / "results.json"), WEATHER))
    assert capsys.readouterr().out.splitlines()[-1] == "(no more than 16 rounds of calls for one message)"


def test_reset_forgets_all_but_the_system_message_even_when_a_result_is_awaited(
    type_lines: Type, capsys: Captured
) -> None:
    type_lines("Weather?", "/reset", "Hi", "/quit", "never read")
    replies = Replies(CALL, "Hello.")
    talk(replies, WEATHER, "Be brief.")
    assert replies.asked[1] == [("system", "Be brief."), ("user", "Hi")]
    assert capsys.readouterr().out.splitlines()[1:] == [f"({TAKEN_BACK})", "(started again)", "model> Hello."]


def test_undo_takes_back_exchanges_with_their_calls(type_lines: Type, capsys: Captured) -> None:
    type_lines("Hi", "Weather?", "sunny", "/undo", "Again", "/undo", "/undo", "/undo", "Last")
    replies = Replies("Hello.", CALL, "Sunny.", "Yes.", "Well.")
    talk(replies, WEATHER)
    assert replies.asked[3] == [("user", "Hi"), ("assistant", "Hello."), ("user", "Again")]
    assert replies.asked[4] == [("user", "Last")]
    out = capsys.readouterr().out.splitlines()
    assert out.count(f"({TAKEN_BACK})") == 3
    assert "(there is nothing to take back)" in out


def test_undo_where_a_result_is_awaited_takes_back_that_exchange_alone(type_lines: Type) -> None:
    type_lines("Hi", "Weather?", "/undo", "Again")
    replies = Replies("Hello.", CALL, "Yes.")
    talk(replies, WEATHER)
    assert replies.asked[2] == [("user", "Hi"), ("assistant", "Hello."), ("user", "Again")]


def test_the_system_message_can_be_set_and_removed(type_lines: Type, capsys: Captured) -> None:
    type_lines("Hi", "/system Be kind.", "Hello?", "/system", "Well?")
    replies = Replies("Yes.", "Yes!", "No.")
    talk(replies)
    history = [("user", "Hi"), ("assistant", "Yes.")]
    assert replies.asked[1] == [("system", "Be kind."), *history, ("user", "Hello?")]
    assert replies.asked[2][:2] == history
    assert "(there is no system message now)" in capsys.readouterr().out


def test_help_lists_the_commands_and_unknown_ones_are_not_sent(type_lines: Type, capsys: Captured) -> None:
    type_lines("/help", "/save", "/zork", "/etc/hosts is what?")
    replies = Replies("A file.")
    talk(replies)
    out = capsys.readouterr().out
    for name in ("/help", "/reset", "/undo", "/system TEXT", "/save FILE", "/quit"):
        assert f"\n{name} " in f"\n{out}"
    assert "(name a file: /save FILE)" in out
    assert "(/zork is no command; /help lists them)" in out
    assert replies.asked == [[("user", "/etc/hosts is what?")]]


def test_a_saved_dialogue_is_read_back(type_lines: Type, capsys: Captured, tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    type_lines("/save " + str(file), "Weather?", "sunny", f"/save {file}", f"/save {file}", "/save /no/such/chat.jsonl")
    talk(Replies(CALL, "Sunny."), WEATHER, "Be brief.")
    [dialogue], notes = load_dialogues(file)
    assert notes == ()
    assert dialogue.tools == WEATHER
    assert [(message.role, message.content) for message in dialogue.messages] == [
        ("system", "Be brief."),
        ("user", "Weather?"),
        ("assistant", None),
        ("tool", "sunny"),
        ("assistant", "Sunny."),
    ]
    assert dialogue.messages[2].tool_calls[0].arguments == {"city": "Paris"}
    assert [line for line in capsys.readouterr().out.splitlines() if "saved" in line] == [
        "(not saved: nothing has been said yet)",
        f"(saved: {file})",
        f"(not saved: {file}: File exists)",
        "(not saved: /no/such/chat.jsonl: No such file or directory)",
    ]


def test_a_dialogue_that_no_reader_would_take_is_not_saved(type_lines: Type, capsys: Captured, tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    type_lines("Weather?", "sunny", f"/save {file}")
    talk(Replies(CALL, "Sunny."))
    assert "(not saved: the dialogue: messages[1] calls unknown tool 'weather';" in capsys.readouterr().out
    assert not file.exists()


def test_ctrl_c_ends_an_answer_and_keeps_what_was_said(type_lines: Type, capsys: Captured) -> None:
    type_lines("Hi", "Go on", "And?")
    replies = Replies("It is sINTERRUPT", "INTERRUPT", "Sunny.")
    talk(replies)
    assert replies.asked[1] == [("user", "Hi"), ("assistant", "It is s"), ("user", "Go on")]
    assert replies.asked[2] == [("user", "Hi"), ("assistant", "It is s"), ("user", "And?")]
    assert capsys.readouterr().out.splitlines() == [
        "model> It is s  (stopped)",
        "  (stopped)",
        f"(the model said nothing; {TAKEN_BACK})",
        "model> Sunny.",
    ]


def test_ctrl_c_at_a_prompt_leaves_the_chat_going(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    typed = iter((KeyboardInterrupt(), "Weather?", KeyboardInterrupt(), "Hi"))

    def read(_: str) -> str:
        line = next(typed, EOFError())
        if isinstance(line, str):
            return line
        raise line

    monkeypatch.setattr("builtins.input", read)
    replies = Replies(CALL, "Hello.")
    talk(replies, WEATHER)
    assert replies.asked[1] == [("user", "Hi")]
    assert [line for line in capsys.readouterr().out.splitlines() if line] == [
        "(/quit or Ctrl-D leaves)",
        SHOWN_CALL,
        f"({TAKEN_BACK})",
        "model> Hello.",
    ]


def test_two_models_get_the_same_messages_and_keep_their_own_history(
    type_lines: Type, capsys: Captured, tmp_path: Path
) -> None:
    file = tmp_path / "both.jsonl"
    type_lines("Weather?", "sunny", "Thanks", "/undo", "Well?", f"/save {file}")
    new, old = Replies(CALL, "Sunny.", "Welcome.", "So?"), Replies("No idea.", "What for?", "Hm?")
    speakers = [Speaker("runs/dpo", new), Speaker("demo", old)]
    Talk(speakers, WEATHER, tool_answers(None, None, WEATHER)).talk()
    assert capsys.readouterr().out.splitlines() == [
        SHOWN_CALL,
        "runs/dpo> Sunny.",
        "demo> No idea.",
        "runs/dpo> Welcome.",
        "demo> What for?",
        f"({TAKEN_BACK})",
        "runs/dpo> So?",
        "demo> Hm?",
        f"(saved: {file})",
    ]
    assert old.asked[2] == [("user", "Weather?"), ("assistant", "No idea."), ("user", "Well?")]
    saved, _ = load_dialogues(file)
    assert [(dialogue.id, len(dialogue.messages)) for dialogue in saved] == [("runs/dpo", 6), ("demo", 4)]


FUNCTIONS = """
def weather(city):
    if city != "Paris":
        raise LookupError(f"no city {city}")
    return {"sky": "sunny", "degrees": [21, None]}

def clock():
    return "noon"
"""


def answers(tmp_path: Path, tools: Sequence[Tool], functions: str | None = None, results: object = None) -> Answer:
    (tmp_path / "tools.py").write_text(functions or "")
    (tmp_path / "results.json").write_text(results if isinstance(results, str) else json.dumps(results))
    return tool_answers(
        str(tmp_path / "tools.py") if functions is not None else None,
        str(tmp_path / "results.json") if results is not None else None,
        tools,
    )


def named(*names: str) -> tuple[Tool, ...]:
    return tuple(Tool(name=name, parameters={"type": "object", "properties": {}}) for name in names)


def test_functions_and_canned_results_answer_calls(type_lines: Type, capsys: Captured, tmp_path: Path) -> None:
    tools = named("weather", "clock", "moon", "tide")
    calls = [
        f'<tool_call>{{"name": "{name}", "arguments": {arguments}}}</tool_call>'
        for name, arguments in (
            ("weather", '{"city": "Paris"}'),
            ("weather", '{"city": "Rome"}'),
            ("weather", "{}"),
            ("clock", "{}"),
            ("moon", "{}"),
            ("tide", "{}"),
        )
    ]
    type_lines("Hi", "high")
    replies = Replies("\n".join(calls), "So.")
    talk(replies, tools, answer=answers(tmp_path, tools, FUNCTIONS, {"moon": {"full": True}, "clock": "never"}))
    results = [content for role, content in replies.asked[1] if role == "tool"]
    assert results == [
        '{"sky": "sunny", "degrees": [21, null]}',
        "LookupError: no city Rome",
        "TypeError: weather() missing 1 required positional argument: 'city'",
        "noon",
        '{"full": true}',
        "high",
    ]
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("result of ")]
    assert shown[:2] == [
        f"result of weather> {results[0]}",
        f"result of weather> {results[1]}  (the function failed)",
    ]
    assert len(shown) == 5  # the last was typed


@pytest.mark.parametrize(
    ("functions", "results", "line"),
    [
        (
            "import zork",
            None,
            "tool_functions: {}/tools.py cannot be run (ModuleNotFoundError: No module named 'zork');",
        ),
        ("def wether(): ...", None, "tool_functions: {}/tools.py has no function that is named as a tool; define one"),
        (None, {"wether": 1}, "{}/results.json: 'wether' is no tool that is offered; did you mean 'weather'?"),
        (None, [1], "{}/results.json: must be an object, name of a tool -> what it returns (got list)"),
        (None, "{", "{}/results.json: not JSON ("),
    ],
)
def test_files_of_answers_that_cannot_be_used(
    run: Callable[..., Ran], tmp_path: Path, functions: str | None, results: object, line: str
) -> None:
    (tmp_path / "offered.json").write_text(json.dumps([TOOL]))
    words = ["chat", "nowhere", "--tools", str(tmp_path / "offered.json")]
    if functions is not None:
        (tmp_path / "tools.py").write_text(functions)
        words += ["--tool_functions", str(tmp_path / "tools.py")]
    else:
        (tmp_path / "results.json").write_text(results if isinstance(results, str) else json.dumps(results))
        words += ["--tool_results", str(tmp_path / "results.json")]
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: " + line.format(tmp_path))


def test_files_of_answers_that_are_not_there(run: Callable[..., Ran], tmp_path: Path) -> None:
    for flag, name in (("--tool_functions", "tools.py"), ("--tool_results", "results.json")):
        ran = run("chat", "nowhere", flag, str(tmp_path / name))
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert f"{tmp_path / name} cannot be r" in ran.err
        assert "(No such file or directory)" in ran.err


def test_chat_with_a_model_through_a_pipe(run: Callable[..., Ran], type_lines: Type, tmp_path: Path) -> None:
    own = tokenizer()
    chain_model(own, own("It is sunny.")["input_ids"]).save_pretrained(tmp_path)
    own.save_pretrained(tmp_path)
    type_lines("Weather in Paris?", "And in Rome?", "/quit", "never read")
    ran = run("chat", str(tmp_path))
    assert (ran.code, ran.out) == (0, "model> It is sunny.\n" * 2)


def test_compare_two_models_through_a_pipe(run: Callable[..., Ran], type_lines: Type, tmp_path: Path) -> None:
    own = tokenizer()
    names = [str(tmp_path / name) for name in ("one", "two")]
    for name, text in zip(names, ("It is sunny.", "Which city?"), strict=True):
        chain_model(own, own(text)["input_ids"]).save_pretrained(name)
        own.save_pretrained(name)
    type_lines("Weather?")
    ran = run("chat", names[0], "--compare", names[1])
    assert (ran.code, ran.out) == (0, f"{names[0]}> It is sunny.\n{names[1]}> Which city?\n")


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (("--max_new_tokens", "0"), "error: max_new_tokens: must be at least 1 token (got 0)"),
        (("--temperature", "-1"), "error: temperature: must be 0 (greedy) or a positive number (got -1.0)"),
        (("--top_p", "0"), "error: top_p: must be in (0, 1] (got 0.0)"),
        (("--port", "80"), "error: port: has no effect without --serve (got 80); add it"),
    ],
)
def test_settings_out_of_range(run: Callable[..., Ran], model: str, setting: tuple[str, str], line: str) -> None:
    assert run("chat", model, *setting) == Ran(2, "", f"{line}\n")


def test_a_model_is_not_compared_with_itself(run: Callable[..., Ran]) -> None:
    assert run("chat", "demo", "--compare", "demo").err == (
        "error: compare: is the model itself (got 'demo'); name another one, or leave it out\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal")
def test_a_real_ctrl_c_stops_the_answer_and_not_the_chat(tmp_path: Path) -> None:
    """The model never ends its turn: it writes `sunny` for ever, each word shown when it is written."""
    own = tokenizer()
    own.save_pretrained(tmp_path)
    [word] = own(" sunny")["input_ids"][-1:]
    unigram_model(own, {word: 50.0}).save_pretrained(tmp_path)
    command = [sys.executable, "-m", "turnpoint", "chat", str(tmp_path), "--max_new_tokens", "100000"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(b"Hi\n")
            process.stdin.flush()
            assert process.stdout.read(20).startswith(b"model> ")  # while the answer goes on
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            process.stdin.write(b"/save " + str(tmp_path / "chat.jsonl").encode() + b"\n")
            process.stdin.close()
            rest = process.stdout.read()
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert b"  (stopped)\n" in rest
    [dialogue], _ = load_dialogues(tmp_path / "chat.jsonl")
    assert [message.role for message in dialogue.messages] == ["user", "assistant"]
