"""`turnpoint pairs trajectories`, from a file of dialogues to a file of pairs."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.pairs.dialogues import ALL, CALLS
from tests.sampling.test_server import said, serving

from turnpoint.cli.main import main
from turnpoint.data import load_pairs
from turnpoint.dialogue import Dialogue, Message
from turnpoint.pairs import SampledReply, Samples


@pytest.fixture
def dialogues(tmp_path: Path) -> str:
    return write(tmp_path / "dialogues.jsonl", *ALL)


def write(file: Path, *dialogues: Dialogue) -> str:
    rows = [
        {
            "id": each.id,
            "tools": [tool.openai() for tool in each.tools],
            "messages": [message.openai() for message in each.messages],
        }
        for each in dialogues
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def test_pairs_are_written_and_counted(dialogues: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "pairs.jsonl"
    assert main(["pairs", "trajectories", dialogues, "--output", str(output), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    pairs, notes = load_pairs(output)
    assert (printed["pairs"], notes) == (len(pairs), ())
    assert sum(row["pairs"] for row in printed["rows"]) == len(pairs)
    assert {pair.about["set"] for pair in pairs} == {"easy", "hard", "beyond"}
    assert all(pair.dialogue_id in {"asks", "calls", "refuses", "confirms"} for pair in pairs)


def test_the_same_seed_gives_the_same_file(dialogues: str, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl")]
    for file, seed in zip(files, ("1", "1", "2"), strict=True):
        assert main(["pairs", "trajectories", dialogues, "--output", str(file), "--seed", seed]) == 0
    texts = [file.read_text(encoding="utf-8") for file in files]
    assert texts[0] == texts[1] != texts[2]


def test_fewer_pairs_than_asked_for_are_said(
    dialogues: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pairs", "trajectories", dialogues, "--output", str(tmp_path / "p.jsonl"), "--easy", "4", "--hard", "400"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert "pairs fewer than asked for: the dialogues do not give more of " in captured.err
    assert "needless question hard M (" in captured.err
    assert "│ easy │" in captured.out


def test_a_server_words_the_pairs(tmp_path: Path) -> None:
    data, output = write(tmp_path / "d.jsonl", CALLS), tmp_path / "p.jsonl"
    with serving(*[(200, said("I'm sorry, I can't help with that."))] * 2) as (url, heard):
        assert main(["pairs", "trajectories", data, "--output", str(output), "--easy", "1", "--types", "1,0,0",
                     "--server", url, "--model", "small"]) == 0  # fmt: skip
    [pair] = load_pairs(output)[0]
    texts = [message.content for message in pair.rejected]
    assert "I'm sorry, I can't help with that." in texts
    assert {each["model"] for each in heard} == {"small"}


def test_phrases_of_another_language_than_the_data_are_said(
    dialogues: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "most dialogues are written in Latin letters, the phrases of zh in Han; see --phrases"
    for language, said_so in (("zh", True), ("en", False)):
        words = ["pairs", "trajectories", dialogues, "--output", str(tmp_path / "p.jsonl"), "--phrases", language]
        assert main(words) == 0
        assert (line in capsys.readouterr().err) is said_so


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--easy", "-1"], "easy: must be a number of pairs from 0 (got -1)"),
        (["--types", "1,1"], "types: must be three weights from 0"),
        (["--server", "http://x/v1"], "server: has no effect without a model (got http://x/v1); add --model NAME"),
        (["--model", "x", "--phrases", "ko"], "phrases: are not used where a model words (got 'ko'); leave one out"),
        (["--phrases", "xx"], "phrases: must be one of en, ko, zh"),
    ],
)
def test_mistakes_are_one_line(
    dialogues: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["pairs", "trajectories", dialogues, "--output", str(tmp_path / "p.jsonl"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_dialogues_that_give_no_pair_say_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain: Any = CALLS.model_copy(update={"messages": (CALLS.messages[0], CALLS.messages[3]), "tools": ()})
    data = write(tmp_path / "d.jsonl", plain)
    assert main(["pairs", "trajectories", data, "--output", str(tmp_path / "p.jsonl")]) == 2
    assert "no pair can be built of 1 dialogues (they offer no tools)" in capsys.readouterr().err
    assert not (tmp_path / "p.jsonl").exists()


def test_a_file_that_cannot_be_written_is_one_line(
    dialogues: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["pairs", "trajectories", dialogues, "--output", str(blocked / "p.jsonl")]) == 2
    assert "--output: cannot write" in capsys.readouterr().err


@pytest.fixture
def samples(tmp_path: Path) -> str:
    """Three answers to one question, two of which say a name."""
    file = tmp_path / "samples.jsonl"
    answers = ["I am SmolLM.", "Hello! SmolLM here, by Hugging Face.", "Paris."]
    replies = tuple(SampledReply(text=text, message=Message(role="assistant", content=text)) for text in answers)
    drawn = Samples(prompt=(Message(role="user", content="Who are you?"),), replies=replies, id="a", source="f:1")
    file.write_text(json.dumps(drawn.row()) + "\n", encoding="utf-8")
    return str(file)


def test_answers_under_another_name(samples: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "p.jsonl"
    words = ["pairs", "rename", samples, "--names", "SmolLM=Ada", "Hugging Face=Acme", "--output", str(output)]
    assert main(words) == 0
    pairs, _ = load_pairs(output)
    assert [(pair.chosen[0].content, pair.rejected[0].content) for pair in pairs] == [
        ("I am Ada.", "I am SmolLM."),
        ("Hello! Ada here, by Acme.", "Hello! SmolLM here, by Hugging Face."),
    ]
    assert "left out 1: says none of the names" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--names", "SmolLM"], "names: must be OLD=NEW (got 'SmolLM'), such as SmolLM=Ada"),
        (["--names", "Qwen=Ada"], "no pair can be made of it: a reply: says none of the names (3)"),
    ],
)
def test_names_that_give_no_pair_are_one_line(
    samples: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["pairs", "rename", samples, *words, "--output", str(tmp_path / "p.jsonl")]) == 2
    assert message in capsys.readouterr().err


def test_what_to_make_pairs_of_must_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    for words, given in ((["pairs"], ""), (["pairs", "trajectory"], " (got 'trajectory')")):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert "turnpoint pairs: say what: trajectories, samples, rename, annotate" in error
        assert error.strip().endswith(given)
