"""Stages that share a data set never share a dialogue: not in another run, another file, another process."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.data import Source, load_dialogues
from turnpoint.data.split import Part, StagePart
from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.errors import ConfigError
from turnpoint.training import DPOConfig, SFTConfig, SFTTrainer
from turnpoint.training.records import DIALOGUES, PAIRS
from turnpoint.training.stage_data import tokenizing
from turnpoint.training.tokenized import tokenize

SHARES = [2, 1, 2]
DIALOGUES_HELD = 60


def dialogue_row(number: int) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": f"book a table for {number}"},
            {"role": "assistant", "content": "for two"},
        ]
    }


def pair_row(number: int) -> dict[str, Any]:
    """Two exchanges into the dialogue of that number, in a file that names no dialogue."""
    return {
        "prompt": [*dialogue_row(number)["messages"], {"role": "user", "content": "yes"}],
        "chosen": [{"role": "assistant", "content": "for two"}],
        "rejected": [{"role": "assistant", "content": "no"}],
    }


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    numbers = range(DIALOGUES_HELD)
    dialogues = write(tmp_path / "dialogues.jsonl", [dialogue_row(i) for i in numbers])
    return dialogues, write(tmp_path / "pairs.jsonl", [pair_row(i) for i in reversed(numbers)])


def kept(file: Path, tokenizer: PreTrainedTokenizerFast, config: Any, kind: Any) -> set[int]:
    """Numbers of the dialogues that a stage trains on, read off its report of what it left out."""
    made = tokenize(Source(file), tokenizing(tokenizer, kind, config))
    assert made.facts.left_out["for another stage (data_split)"]["count"] == DIALOGUES_HELD - len(made)
    texts = [
        tokenizer.decode(made[i].input_ids if kind is DIALOGUES else made[i].chosen.input_ids) for i in range(len(made))
    ]
    return {int(text.split("book a table for ")[1].split("<")[0].split()[0]) for text in texts}


def test_sft_and_dpo_share_no_dialogue(
    files: tuple[Path, Path], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """The pairs stand in another file, in another order, and begin where a dialogue has gone on."""
    sft = kept(files[0], tokenizer, SFTConfig(output_dir=str(tmp_path), data_split=SHARES), DIALOGUES)
    dpo = kept(files[1], tokenizer, DPOConfig(output_dir=str(tmp_path), data_split=SHARES), PAIRS)
    assert sft & dpo == set()
    assert min(len(sft), len(dpo)) > DIALOGUES_HELD / 5
    assert len(sft | dpo) < DIALOGUES_HELD  # the rest is the reward model's


def test_every_dialogue_is_in_one_part(files: tuple[Path, Path]) -> None:
    dialogues, _ = load_dialogues(files[0])
    for dialogue in dialogues:
        assert sum(Part(tuple(SHARES), stage).holds(dialogue) for stage in StagePart) == 1


def test_another_process_splits_alike(files: tuple[Path, Path]) -> None:
    code = (
        "import sys; from turnpoint.data import load_dialogues; from turnpoint.data.split import Part, StagePart;"
        "print([Part((2, 1, 2), StagePart.DPO).holds(d) for d in load_dialogues(sys.argv[1])[0]])"
    )
    printed = subprocess.run([sys.executable, "-c", code, str(files[0])], capture_output=True, text=True, check=True)
    held = [Part((2, 1, 2), StagePart.DPO).holds(each) for each in load_dialogues(files[0])[0]]
    assert printed.stdout.strip() == str(held)


def test_a_dialogue_is_known_by_how_it_opens_whatever_it_is_called() -> None:
    """Rated rows have ids, pairs of them have none; pairs whose first message was rewritten name the opening."""
    said = (Message(role="user", content="book"), Message(role="assistant", content="for two"))
    named = Dialogue(messages=said, id="d7", source="a.jsonl:1")
    longer = Dialogue(messages=(*said, said[0], said[1]), id="b.jsonl:9", source="b.jsonl:9")
    other = (Message(role="assistant", content="no"),)
    nameless = PreferencePair(prompt=said[:1], chosen=said[1:], rejected=other)
    rewritten = PreferencePair(
        prompt=(Message(role="user", content="help me"),), chosen=said[1:], rejected=other, about={"opening": named.key}
    )
    assert {each.key for each in (named, longer, nameless, rewritten)} == {named.key}
    assert rewritten.model_copy(update={"about": {}}).key != named.key


def test_what_is_evaluated_on_is_taken_whole(
    files: tuple[Path, Path],
    stages: Any,
    tiny_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    trainer = SFTTrainer(
        tiny_model("llama"),
        SFTConfig(output_dir=str(tmp_path / "run"), data_split=SHARES, use_cpu=True),
        train_dataset=str(files[0]),
        eval_dataset=str(files[0]),
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) < len(trainer.eval_dataset) == DIALOGUES_HELD


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (
            [5, 5],
            r"^SFTConfig: data_split: must be a whole number from 0 for each of sft, reward, dpo \(got \[5, 5\]\)",
        ),
        ([5, -1, 5], r"^SFTConfig: data_split: must be a whole number from 0"),
        ([0, 5, 5], r"^SFTConfig: data_split: leaves nothing for sft \(got \[0, 5, 5\]\); give this stage a share"),
    ],
)
def test_shares_that_cannot_be(shares: list[int], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        SFTConfig(output_dir=str(tmp_path), data_split=shares)
