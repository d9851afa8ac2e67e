"""Sources of every kind come out of several processes as they come out of one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from turnpoint.data import Source, load_pairs
from turnpoint.training import tokenized
from turnpoint.training.records import PAIRS, Tokenized
from turnpoint.training.tokenized import Tokenizing, tokenize

PAIR = {"prompt": [{"role": "user", "content": "book a table"}], "chosen": "for two", "rejected": "no"}
EQUAL = PAIR | {"rejected": "for two"}
JUDGED = {
    "question": "book a table",
    "correct_answer": "request_for_info",
    "answers": {"request_for_info": "for how many", "direct": "done", "cannot_answer": "no"},
}


def rated(i: int) -> dict[str, Any]:
    said = {"role": "assistant", "content": f"for {i}"}
    return {"messages": [{"role": "user", "content": "book a table"}, said], "label": i % 2 == 0}


SOURCES: dict[str, list[dict[str, Any]]] = {
    "bad": [PAIR, EQUAL] * 60,
    "expanded": [JUDGED] * 60,
    "rated": [rated(i) for i in range(120)],
    "plain": [PAIR] * 120,
}


@pytest.fixture
def tokenise(tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tokenized]:
    monkeypatch.setattr(tokenized, "_ROWS_AT_ONCE", 3)

    def run(source: Source, processes: int) -> Tokenized:
        return tokenize(source, Tokenizing(tokenizer, PAIRS, None, "drop", processes))

    return run


def rows_of(found: Tokenized) -> list[str]:
    return [found[i].source for i in range(len(found))]


@pytest.mark.parametrize("name", [*SOURCES, "mix"])
def test_processes_read_what_loading_reads(
    name: str, tokenise: Callable[..., Tokenized], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the bad rows every second breaks a rule; they are left out and told with their places."""
    for each, rows in SOURCES.items():
        (tmp_path / f"{each}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    mix = "- {data: bad.jsonl, weight: 1.5}\n- {data: expanded.jsonl}\n- {data: rated.jsonl}\n"
    (tmp_path / "mix.yaml").write_text(mix)
    file = tmp_path / ("mix.yaml" if name == "mix" else f"{name}.jsonl")
    expected, notes = load_pairs(file, on_bad_rows="drop")
    for processes in (1, 2):
        monkeypatch.setattr(tokenized, "cache_folder", lambda folder=tmp_path / f"cache {processes}": folder)
        found = tokenise(Source(file, on_bad_rows="drop"), processes)
        assert rows_of(found) == [pair.source for pair in expected]
        assert tuple(found.facts.notes) == notes
        if name == "bad":
            left_out = found.facts.left_out["breaks a rule of the data"]
            assert left_out == {"count": 60, "first": [f"bad.jsonl:{n}" for n in (2, 4, 6, 8, 10)]}
