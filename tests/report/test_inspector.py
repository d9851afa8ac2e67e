"""The inspector's page: what its data say, checked against the tokens they were made from."""

import base64
import hashlib
import json
import re
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.tiny import save_model
from tests.doctor.builders import assistant, call, dialogue, pair, result, user
from tests.report.inspected import HOSTILE, blob, data_of, hostile, inspected, renderer, several_turns, with_image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from turnpoint.cli import main
from turnpoint.dialogue import Dialogue, PreferencePair, parse
from turnpoint.doctor import Finding, Severity
from turnpoint.objectives.reductions import Turns, turn_weights
from turnpoint.report.inspector import phi
from turnpoint.report.pieces import Pieces

KOREAN = "날씨가 맑아요 🌤"


def side_pieces(data: dict[str, Any], row: int, side: int) -> list[int]:
    shared, *after = data["rows"][row]["pieces"]
    return [*shared, *after[side]]


def test_the_page_needs_nothing_beside_itself() -> None:
    page = inspected([several_turns()]).page
    assert not re.search(r"https?:|src=|@import|url\(|<link", page)
    assert page.count("{{") == 0


def test_the_page_lets_no_script_run_but_its_own() -> None:
    page = inspected([several_turns()]).page
    [style], [script] = (re.findall(rf"<{name}>(.*?)</{name}>", page, re.DOTALL) for name in ("style", "script"))
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in (style, script)]
    policy = "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'".format(*digests)
    policy += "; base-uri 'none'; form-action 'none'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in page


def test_both_sides_are_there_token_by_token() -> None:
    made = inspected([several_turns()])
    data = data_of(made.page)
    for side, sequence in enumerate(made.tokenized.rows[0].sequences):
        pieces = side_pieces(data, 0, side)
        assert [token for piece in pieces for token in data["ids"][piece]] == list(sequence.input_ids)
        record = several_turns().side("chosen" if side == 0 else "rejected")
        assert "".join(data["texts"][piece] for piece in pieces) == made.renderer.text(record)


def test_what_the_sides_share_stands_once() -> None:
    made = inspected([several_turns()])
    data = data_of(made.page)
    [row] = data["rows"]
    chosen, rejected = (list(each.input_ids) for each in made.tokenized.rows[0].sequences)
    fork = row["fork"]
    assert chosen[:fork] == rejected[:fork]
    assert chosen[fork] != rejected[fork]
    assert sum(len(data["ids"][piece]) for piece in row["pieces"][0]) == fork
    assert row["lengths"] == [len(chosen), len(rejected)]


def test_turns_are_what_the_assistant_wrote() -> None:
    data = data_of(inspected([several_turns()]).page)
    said = [
        [
            "".join(data["texts"][piece] for piece in side_pieces(data, 0, side)[turn["start"] : turn["end"]])
            for turn in turns
        ]
        for side, turns in enumerate(data["rows"][0]["turns"])
    ]
    assert said == [
        ["It is sunny.<|im_end|>", "Which city?<|im_end|>", "It is sunny in Paris.<|im_end|>"],
        ["It is sunny.<|im_end|>", "I am unable to do that.<|im_end|>"],
    ]
    assert data["rows"][0]["sharedTurns"] == 1


def test_turns_say_what_they_decide() -> None:
    """Nothing follows the question of the second pair; it is a slot's all the same, as the doctor has it."""
    records = [several_turns(), pair("Which city?", "I am unable to do that.", source="p.jsonl:2")]
    decided = [
        [[turn["decision"] for turn in turns] for turns in row["turns"]]
        for row in data_of(inspected(records).page)["rows"]
    ]
    assert decided == [
        [["completion", "completion", "completion"], ["completion", "relevance"]],
        [["slot"], ["relevance"]],
    ]


def test_a_turn_that_is_not_trained_on_is_not_scored() -> None:
    records = [pair([assistant("Sunny.", train=False), user("So?"), assistant("It is sunny.")], "Which city?")]
    data = data_of(inspected(records).page)
    assert [[turn["scored"] for turn in turns] for turns in data["rows"][0]["turns"]] == [[False, True], [True]]
    assert set(data["phi"]) == {"1"}, "each side has one turn that counts"


def test_characters_of_several_tokens_are_one_piece() -> None:
    """The tiny tokenizer reads a byte a token: three for a syllable, four for the weather."""
    tokenizer = renderer().tokenizer
    ids = tokenizer(KOREAN)["input_ids"]
    pieces = Pieces(tokenizer)
    numbers = pieces.numbers(ids)
    assert [pieces.texts()[number] for number in numbers] == list(KOREAN)
    assert [len(pieces.ids()[number]) for number in numbers] == [3, 3, 3, 1, 3, 3, 3, 1, 4]
    assert pieces.starts(numbers) == list(accumulate([3, 3, 3, 1, 3, 3, 3, 1, 4], initial=0))
    assert pieces.numbers(ids, cuts=[3]) == numbers, "there is a piece's edge anyway"


def test_pieces_end_where_they_are_cut_and_where_nothing_whole_comes() -> None:
    tokenizer = renderer().tokenizer
    first, second, third = tokenizer("날")["input_ids"]
    pieces = Pieces(tokenizer)
    assert [pieces.ids()[i] for i in pieces.numbers([first, second, third], cuts=[1])] == [[first], [second], [third]]
    [letter] = tokenizer("a")["input_ids"]
    assert [pieces.ids()[i] for i in pieces.numbers([first, letter])] == [[first], [letter]]


def test_pieces_of_a_tokenizer_with_spaces_before_words_and_bytes_for_what_it_lacks() -> None:
    """As SentencePiece has it: the space before a word stays, first in a sequence too; three bytes are one syllable."""
    vocabulary = {"▁": 0, "a": 1, "▁the": 2, "▁sun": 3, "<0xEB>": 4, "<0x82>": 5, "<0xA0>": 6}
    raw = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    pieces = Pieces(PreTrainedTokenizerFast(tokenizer_object=raw))
    numbers = pieces.numbers([2, 3, 4, 5, 6, 2])
    assert [pieces.texts()[number] for number in numbers] == [" the", " sun", "날", " the"]


def test_special_tokens_are_told_apart() -> None:
    data = data_of(inspected([several_turns()]).page)
    assert {data["texts"][piece] for piece in data["added"]} == {"<|im_start|>", "<|im_end|>"}


def test_weights_of_turns() -> None:
    """At gamma 0.5 and T 3: 1 - 1/8, 1 - 1/4, 1 - 1/2 over the first. gamma 1: (T - t) / T. gamma 0: 1."""
    assert phi(0.5, 3) == pytest.approx([1, 6 / 7, 4 / 7])
    assert phi(1.0, 3) == pytest.approx([1, 2 / 3, 1 / 3])
    assert phi(0.0, 3) == pytest.approx([1, 1, 1])


def test_weights_in_the_page_are_those_of_the_objective() -> None:
    """A batch of the objective pads to the longest side; the page has a list for each number of turns, up to 3 here."""
    data = data_of(inspected([several_turns()]).page)
    assert (data["gamma"], set(data["phi"])) == (0.5, {"1", "2", "3"})
    mask = torch.tensor([[True, False, False], [True, True, False], [True, True, True]])
    turns = Turns(torch.zeros(3, 3, dtype=torch.float64), mask, torch.ones(3, 3))
    for i, gamma in enumerate(data["gammas"]):
        expected = turn_weights(turns, gamma)
        for count in (1, 2, 3):
            assert data["phi"][str(count)][i] == pytest.approx(expected[count - 1, :count].tolist(), abs=1e-6)
    assert data["gammas"][0] == 0
    assert data["gammas"][-1] == 1


def test_dialogues_have_one_side_and_no_weights() -> None:
    data = data_of(inspected([dialogue(user("Weather?"), assistant("It is sunny."))]).page)
    [row] = data["rows"]
    assert (data["pairs"], data["phi"], row["prompt"], len(row["sides"])) == (False, {}, [], 1)
    assert (row["pieces"][0], row["fork"], row["sharedTurns"]) == ([], 0, 0)


def test_counts() -> None:
    made = inspected([several_turns(), several_turns("p.jsonl:2")])
    data = data_of(made.page)
    assert data["tokens"] == sum(len(each.input_ids) for row in made.tokenized.rows for each in row.sequences)
    assert data["scored"] == sum(sum(row.scored) for row in made.tokenized.rows)
    assert [row["source"] for row in data["rows"]] == ["p.jsonl:1", "p.jsonl:2"]


def test_what_rows_have_in_common_stands_once() -> None:
    data = data_of(inspected([pair("It is sunny.", "Which city?", source=f"p.jsonl:{i}") for i in range(5)]).page)
    assert [tool["name"] for tool in data["tools"]] == ["weather"]
    assert [message["text"] for message in data["messages"]] == ["Hi", "It is sunny.", "Which city?"]
    assert [row["prompt"] + row["sides"][0] + row["sides"][1] for row in data["rows"]] == [[0, 1, 2]] * 5


def test_findings_name_their_rows() -> None:
    """Two records have the source p.jsonl:2; the finding does not say which of them it means, so it gets both."""
    records = [several_turns(f"p.jsonl:{i}") for i in (1, 2, 12, 2)]
    finding = Finding(
        severity=Severity.ERROR,
        title="bad",
        count=2,
        rows=("p.jsonl:2: x",),
        sources=("p.jsonl:2", "gone"),
        mend="good",
    )
    assert data_of(inspected(records, [finding]).page)["findings"] == [
        {"severity": "error", "title": "bad", "count": 2, "first": ["p.jsonl:2: x"], "mend": "good", "rows": [1, 3]}
    ]


def test_refused_rows_are_shown_with_why() -> None:
    """A tokenizer alone reads no image; of three rows from one source it is the second that is refused."""
    records = [
        dialogue(user("Weather?"), assistant("It is sunny.")),
        dialogue(with_image(), assistant("Which city?")),
        dialogue(user("Paris?"), assistant("Sunny.")),
    ]
    data = data_of(inspected(records).page)
    assert [row.get("refused") for row in data["rows"]] == [
        None,
        "d.jsonl:1: images: a tokenizer reads none; name a model that reads images, or give its processor as"
        " processing_class in Python",
        None,
    ]
    assert "pieces" not in data["rows"][1]
    shown = data["messages"][data["rows"][1]["sides"][0][0]]
    assert shown == {"role": "user", "text": "Look: \ufffc", "images": ["image"]}


def test_what_is_known_of_a_pair_is_shown() -> None:
    raw = several_turns().model_dump() | {
        "kind": "needless question",
        "weight": 2.0,
        "margin": 0.0,
        "about": {"fork": 3},
    }
    [row] = data_of(inspected([parse(PreferencePair, raw, "p.jsonl:1")]).page)["rows"]
    assert (row["kind"], row["facts"]) == ("needless question", {"weight": 2.0, "margin": 0.0, "fork": 3})
    assert data_of(inspected([several_turns()]).page)["rows"][0]["facts"] == {}


def test_messages_are_shown_with_calls_and_names() -> None:
    record = dialogue(user("Weather in Paris?"), call(city="서울"), {**result("sunny"), "name": "weather"})
    assert data_of(inspected([record]).page)["messages"][1:] == [
        {"role": "assistant", "text": 'weather({"city": "서울"})'},
        {"role": "tool", "text": "sunny", "name": "weather"},
    ]


def test_reasoning_is_shown_apart_with_whether_the_template_keeps_it() -> None:
    """ChatML writes the content alone: what stands in it is kept, what is kept apart is left out."""
    records = [
        dialogue(user("Hi"), assistant("Hello", reasoning="They greet.")),
        dialogue(user("Hi"), assistant("<think>They greet.</think>Hello")),
        dialogue(user("<think>They greet.</think>"), assistant("Hello")),
    ]
    data = data_of(inspected(records).page)
    said = [data["messages"][row["sides"][0][1]].get("reasoning") for row in data["rows"]]
    assert said == ["They greet.", "They greet.", None]
    assert [row["turns"][0][0]["leftOut"] for row in data["rows"]] == [True, False, False]
    assert "reasoning" not in data["messages"][data["rows"][2]["sides"][0][0]]


def test_what_the_data_say_stays_data() -> None:
    page = inspected(hostile()).page
    assert "<" not in blob(page)
    assert not re.search("[\u2028\u2029]", blob(page))
    assert page.count("</script>") == 2
    data = data_of(page)
    assert data["rows"][0]["source"] == HOSTILE
    assert data["messages"][0] == {"role": "system", "text": HOSTILE}
    assert data["tools"][0]["name"] == HOSTILE


def test_half_a_surrogate_pair_can_be_written() -> None:
    record: Dialogue = dialogue(user("Weather?"), assistant("It is sunny."), source="d\ud83d.jsonl:1")
    page = inspected([record]).page
    assert data_of(page.encode().decode())["rows"][0]["source"] == "d\ud83d.jsonl:1"


def test_no_rows_and_no_findings() -> None:
    data = data_of(inspected([], []).page)
    assert (data["rows"], data["findings"], data["phi"]) == ([], [], {})


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    row = several_turns().model_dump(mode="json", include={"prompt", "chosen", "rejected"})
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return str(path)


def test_the_command_writes_the_page(rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, page = str(save_model(tmp_path / "model")), tmp_path / "page.html"
    assert main(["inspect", rows, "--model", model, "--html", str(page)]) == 0
    printed = capsys.readouterr()
    assert f"{page}: open it in a browser" in printed.err
    data = data_of(page.read_text(encoding="utf-8"))
    assert (data["dataset"], data["rows"][0]["source"]) == (rows, "rows.jsonl:1")
    assert [finding["title"] for finding in data["findings"]]


def test_the_page_needs_a_tokenizer(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", rows, "--html", "page.html"]) == 2
    assert "--html: needs a tokenizer (got page.html); add --model NAME" in capsys.readouterr().err


def test_the_folder_of_the_page_is_made(rows: str, tmp_path: Path) -> None:
    model, page = str(save_model(tmp_path / "model")), tmp_path / "new" / "folder" / "page.html"
    assert main(["inspect", rows, "--model", model, "--html", str(page)]) == 0
    assert data_of(page.read_text(encoding="utf-8"))["rows"]


@pytest.mark.parametrize(
    ("name", "why"), [("rows.jsonl/page.html", "File exists"), ("folder", "it is a folder"), ("page.html", "no files")]
)
def test_a_page_that_cannot_be_written_is_told_before_anything_is_read(
    rows: str,
    name: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither the model nor the data are there. A folder that takes no files is played, since root may write in any."""
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: why != "no files")
    assert main(["inspect", "nowhere.jsonl", "--model", "nowhere", "--html", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert f"--html: cannot write {tmp_path / name}: " in error
    assert f"{why}; check the path" in error
