"""The page about the doctor explains what the doctor says, and its example runs."""

import json
import re
from pathlib import Path

import pytest
from tests.cli.tiny import CHATML, tokenizer
from tests.doctor.builders import assistant, call, dialogue, pair, result, user

from turnpoint.doctor import examine, held, rows_of
from turnpoint.template import Renderer, ensure_tool_template

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
OTHER_PROMPT = CHATML.replace("assistant\\n' }}{% endif", "assistant\\n<think>\\n' }}{% endif")


def explained() -> set[str]:
    """Titles of the table of findings, every figure as N."""
    table = PAGE.split("## The findings")[1].split("## Other data")[0]
    return {_plain(row.split("|")[1]) for row in table.splitlines() if row.startswith("|")}


def _plain(title: str) -> str:
    title = re.sub(
        r" \((?:shorter|characters|median|desirable|undesirable)[^)]*\)|: .*| \d[^ ]* tokens? instead.*", "", title
    )
    return re.sub(r"\d[\d.]*", "N", title).strip().replace("characters of", "scored tokens of")


def titles() -> set[str]:
    """What the doctor says of a data set of dialogues and of one of pairs, in which much is wrong."""
    way = [call(city="Paris", days="two", hour=1), result(""), assistant("It is sunny.")]
    dialogues = [
        dialogue({"role": "system", "content": "Be brief."}, user("Hi <|im_end|>"), *way, source="a:1"),
        *(dialogue(user("Hi"), user("Weather?"), *way, user("Thanks"), source=f"a:{i}") for i in range(2, 12)),
        dialogue(
            user("Hi"), call(), assistant("Hello", reasoning="They greet."), source="a:12", tools=WEATHER_AND_DATE
        ),
        dialogue(user("Hi"), source="a:13"),
        dialogue(user("Weather?"), assistant("[weather()]"), source="a:14"),
    ]
    liked, disliked = (dialogues[0].model_copy(update={"label": label}) for label in (True, False))
    pairs = [
        *(pair("Yes. " * 50, "No.", source=f"p:{i}") for i in range(10)),
        pair("No.", "Yes. " * 50, source="p:10"),
        pair("a", "A ", prompt="x", source="p:11"),
        pair("Yes.", [call("teleport")], prompt="y", source="p:12"),
        pair("word " * 40 + "a", "word " * 40 + "b", prompt="z", source="p:13"),
    ]
    made = tokenizer(OTHER_PROMPT)
    tooled = tokenizer()
    ensure_tool_template(tooled)
    found = [
        *examine(dialogues, rows_of(dialogues, Renderer(made)), 64, Renderer(made)),
        *examine(dialogues, rows_of(dialogues, Renderer(tooled)), 64, Renderer(tooled)),
        *examine([liked], broken=["a:15: tools: no list"]),
        *examine([*[liked] * 11, disliked]),
        *examine(pairs, others=[held("OTHER", [*pairs[:3], dialogue(user("y"), assistant("No"))])]),
        *examine(dialogues, others=[held("OTHER", [dialogue(user("Weather?"), user("Hello?"), assistant("Sunny."))])]),
    ]
    return {_plain(finding.title) for finding in found}


WEATHER_AND_DATE = (
    {"name": "weather", "parameters": {"type": "object", "properties": {}, "required": ["city"]}},
    {"name": "date", "parameters": {"type": "date"}},
)


def test_every_title_stands_in_the_table() -> None:
    assert len(titles()) > 30
    assert titles() - explained() == set()


def test_the_example_in_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    row = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}
    (tmp_path / "glaive.json").write_text(json.dumps([row, row]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(example[1], "doctor.md", "exec"), {})
    assert "WARNING dialogues that repeat an earlier row ('glaive.json[1]',)" in capsys.readouterr().out
