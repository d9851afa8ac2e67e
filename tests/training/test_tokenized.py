"""What is tokenised is found again as it was, kept for exactly what it depends on, and accounted for."""

import copy
import errno
import io
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.data import Source
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import CheckpointError, ConfigError, DataError
from turnpoint.template import Renderer
from turnpoint.training import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer, tokenized
from turnpoint.training.records import DIALOGUES, PAIRS, Kind, Tokenized
from turnpoint.training.tokenized import Tokenizing, tokenize

ModelFactory = Callable[..., PreTrainedModel]


PAIR_WITH_TOOLS: dict[str, Any] = {
    "prompt": ({"role": "user", "content": "book a table"},),
    "chosen": ({"role": "assistant", "content": "for two"},),
    "rejected": ({"role": "assistant", "content": "no"},),
    "tools": ({"name": "book", "parameters": {"type": "object", "properties": {}}},),
}


def row_of(pair: PreferencePair) -> dict[str, Any]:
    return {
        "id": pair.id,
        "dialogue_id": pair.dialogue_id,
        "prompt": [message.openai() for message in pair.prompt],
        "chosen": [message.openai() for message in pair.chosen],
        "rejected": [message.openai() for message in pair.rejected],
    }


@pytest.fixture
def file(tmp_path: Path, pairs: list[PreferencePair]) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row_of(pair)) + "\n" for pair in pairs))
    return path


def how(tokenizer: PreTrainedTokenizerFast, kind: Kind = PAIRS, **settings: Any) -> Tokenizing:
    return Tokenizing(tokenizer, kind, **{"max_length": None, "overflow": "drop", "processes": None} | settings)


@pytest.fixture
def tokenise(tokenizer: PreTrainedTokenizerFast) -> Callable[..., Tokenized]:
    def run(origin: Any, tokenizer: PreTrainedTokenizerFast = tokenizer, **settings: Any) -> Tokenized:
        source = Source(origin, settings.pop("format", None), limit=settings.pop("limit", None))
        return tokenize(source, how(tokenizer, **settings))

    return run


@pytest.fixture
def read_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each batch that is tokenised in this process."""
    counted: list[int] = []
    real = tokenized._tokenized

    def count(rows: list[Any], **options: Any) -> Any:
        counted.append(len(rows))
        return real(rows, **options)

    monkeypatch.setattr(tokenized, "_tokenized", count)
    return counted


def plain(pair: Any) -> Any:
    sides = [(list(side.input_ids), side.turns) for side in pair[:2]]
    return *sides, *pair[2:]


@pytest.mark.parametrize("processes", [1, 2])
def test_pairs_are_those_of_the_renderer(
    tokenise: Any,
    tokenizer: PreTrainedTokenizerFast,
    pairs: list[PreferencePair],
    processes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokenized, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr(tokenized, "_ROWS_TOGETHER", 5)
    found = tokenise(pairs, processes=processes)
    expected = [Renderer(tokenizer).tokenize_pair(pair) for pair in pairs]
    assert [plain(pair) for pair in found] == [plain(pair) for pair in expected]
    assert plain(found[-1]) == plain(expected[-1])
    lengths = [len(side.input_ids) for pair in expected for side in pair[:2]]
    assert found.facts.longest == max(lengths)
    with pytest.raises(IndexError):
        found[len(pairs)]


def test_dialogues_are_those_of_the_renderer(tokenizer: PreTrainedTokenizerFast, dialogues: list[Dialogue]) -> None:
    found = tokenize(Source(dialogues), how(tokenizer, DIALOGUES))
    expected = [Renderer(tokenizer).tokenize(dialogue) for dialogue in dialogues]
    assert [each._replace(input_ids=list(each.input_ids)) for each in found] == expected


def test_a_file_is_tokenised_once(tokenise: Any, file: Path, read_rows: list[int], caplog: Any) -> None:
    caplog.set_level(logging.INFO, logger="turnpoint")
    first = tokenise(file)
    assert sum(read_rows) == 16
    again = tokenise(file)
    assert sum(read_rows) == 16
    assert [plain(pair) for pair in again] == [plain(pair) for pair in first]
    assert again.facts == first.facts
    assert f"{file}: tokenised before, read from " in caplog.text


def test_whatever_the_tokens_depend_on_makes_them_anew(
    tokenise: Any, file: Path, read_rows: list[int], tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, eos_token="<|im_end|>")
    other.chat_template = str(tokenizer.chat_template).replace("<|im_start|>", "<|im_start|> ")
    entries = {tokenise(file).facts.content}
    changes: tuple[Callable[[], Any], ...] = (
        lambda: tokenise(file, limit=15),
        lambda: tokenise(file, max_length=30),
        lambda: tokenise(file, max_length=30, overflow="keep_start"),
        lambda: tokenise(file, other),
    )
    for number, make in enumerate(changes, start=2):
        entries.add(make().facts.content)
        assert len(entries) == number
    file.write_text(file.read_text().replace("ask", "call"))
    assert tokenise(file).facts.content not in entries
    done = len(read_rows)
    monkeypatch.setattr(tokenized, "_code", lambda: "other code")
    tokenise(file)
    assert len(read_rows) == done + 1


def test_a_reader_of_ones_own_that_changed_makes_them_anew(
    tokenise: Any, file: Path, read_rows: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "reader_that_changes.py"
    monkeypatch.syspath_prepend(tmp_path)
    for code in ("return row", "return dict(row)  # the same"):
        module.write_text(f"def read(row):\n    {code}\n")
        monkeypatch.delitem(sys.modules, module.stem, raising=False)
        for _ in range(2):
            tokenise(file, format=f"{module.stem}:read")
    assert read_rows == [16, 16]


def test_data_sets_of_the_library_are_known_by_their_fingerprint(
    tokenise: Any, pairs: list[PreferencePair], read_rows: list[int]
) -> None:
    rows = [row_of(pair) for pair in pairs]
    data = Dataset.from_list(rows)
    tokenise(data)
    tokenise(Dataset.from_list(rows))
    assert sum(read_rows) == 16
    tokenise(data.select(range(8)))
    assert sum(read_rows) == 24


def test_the_same_tokens_have_the_same_content_wherever_they_come_from(
    tokenise: Any, file: Path, pairs: list[PreferencePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tokenise(pairs).facts.content
    monkeypatch.setattr(tokenized, "_ROWS_AT_ONCE", 3)
    assert tokenise(file).facts.content == whole
    assert tokenise(pairs[:15]).facts.content != whole
    assert tokenise([*pairs[:14], pairs[15], pairs[14]]).facts.content != whole


def test_what_is_left_out_and_changed_is_counted_in_every_process(
    tokenise: Any, file: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenized, "_ROWS_AT_ONCE", 2)
    rows = [json.loads(line) | {"colour": "red"} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = tokenise(file, max_length=30)
    shutil.rmtree(own_cache)
    found = tokenise(file, max_length=30, processes=2)
    assert found.facts == expected.facts
    [(reason, counted)] = found.facts.left_out.items()
    assert reason == "longer than max_length 30"
    assert counted["count"] == 16 - len(found) > 5
    assert len(counted["first"]) == 5
    assert counted["first"][0] == "pairs.jsonl:1"
    assert found.facts.notes == ["left column 'colour' unread: 16 in 16 rows"]


def test_a_broken_row_ends_it_and_leaves_nothing(tokenise: Any, file: Path, own_cache: Path) -> None:
    file.write_text(file.read_text() + "{broken\n")
    with pytest.raises(DataError, match=r"pairs.jsonl:17: broken JSON at column 2"):
        tokenise(file)
    assert list((own_cache / "tokenized").iterdir()) == []


def test_a_full_disk_is_one_line(tokenise: Any, file: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("turnpoint.cache.os.fsync", full)
    with pytest.raises(CheckpointError) as error:
        tokenise(file)
    assert str(error.value).startswith(str(own_cache))
    assert str(error.value).endswith(
        "tokenised data cannot be kept (No space left on device); free some space or set TURNPOINT_CACHE to another"
        " folder"
    )
    assert list((own_cache / "tokenized").iterdir()) == []


def test_counts_of_scored_tokens_are_those_of_the_examples(stages: Any, tiny_model: ModelFactory, pairs: Any) -> None:
    silent = pairs[1].prompt[1].model_copy(update={"train": False})
    muted = pairs[1].model_copy(update={"prompt": (pairs[1].prompt[0], silent, *pairs[1].prompt[2:])})
    for turns_from in ("fork", "dialogue"):
        trainer = stages.dpo(tiny_model(), [*pairs, muted], turns_from=turns_from, reduction="dmpo")
        examples = trainer.train_dataset
        counts = examples.records.scored_counts(from_fork=turns_from == "fork")
        assert counts.tolist() == [
            [len(side.sequence.scored) for side in (each.chosen, each.rejected)] for each in examples
        ]


def test_groups_are_dialogues_and_the_nameless_are_alone(tokenise: Any, pairs: list[PreferencePair]) -> None:
    names = ["a", "", "b", "a", ""]
    named = [pair.model_copy(update={"dialogue_id": name}) for pair, name in zip(pairs, names, strict=False)]
    groups = tokenise(named).groups()
    assert groups[0] == groups[3]
    assert len(set(groups.tolist())) == 4


def test_a_trainer_takes_what_was_tokenised_for_it_and_nothing_else(
    tiny_model: ModelFactory, tokenizer: PreTrainedTokenizerFast, file: Path, stages: Any, read_rows: list[int]
) -> None:
    config = DPOConfig(**stages.settings(max_length=100))
    ready = DPOTrainer.tokenize(str(file), tokenizer, config)
    trainer = stages.dpo(tiny_model(), ready, max_length=100)
    assert len(trainer.train_dataset) == 16
    assert sum(read_rows) == 16
    with pytest.raises(ConfigError) as error:
        stages.dpo(tiny_model(), ready, max_length=99)
    assert str(error.value) == (
        f"DPOTrainer: data of {file}: was tokenised with another max_length (100, not 99);"
        " tokenise it with this tokenizer and these settings"
    )


def test_what_a_call_asked_of_the_tokenizer_last_is_no_other_tokenizer(
    tiny_model: ModelFactory, tokenizer: PreTrainedTokenizerFast, pairs: list[PreferencePair], stages: Any
) -> None:
    ready = DPOTrainer.tokenize(pairs, tokenizer, DPOConfig(**stages.settings()))
    tokenizer(["ask", "call a table"], padding=True, truncation=True, max_length=3)
    assert len(stages.dpo(tiny_model(), ready).train_dataset) == 16


def test_the_date_counts_where_the_template_writes_it(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    dated = copy.deepcopy(tokenizer)
    dated.chat_template = "{{ strftime_now('%d') }}" + str(tokenizer.chat_template)
    assert how(tokenizer).settings["date"] is None
    assert how(dated).settings["date"] is not None


def test_data_made_ready_yesterday_is_taken(
    tiny_model: ModelFactory, tokenizer: PreTrainedTokenizerFast, pairs: list[PreferencePair], stages: Any
) -> None:
    ready = DPOTrainer.tokenize(pairs, tokenizer, DPOConfig(**stages.settings()))
    ready.facts.settings["date"] = "1999-12-31"
    assert len(stages.dpo(tiny_model(), ready).train_dataset) == 16


def test_a_disk_that_fills_up_while_records_are_written_is_one_line(
    tokenise: Any, file: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    class Full(io.BytesIO):
        def write(self, *arguments: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        Path, "open", lambda path, *mode, **how: Full() if path.suffix == ".arrow" else real(path, *mode, **how)
    )
    with pytest.raises(CheckpointError, match=r"tokenised data cannot be kept .No space left on device."):
        tokenise(file)
    monkeypatch.undo()
    assert not [entry for entry in own_cache.glob("tokenized/*") if entry.is_dir()]


def test_a_path_may_be_spelt_otherwise(
    tokenise: Any, file: Path, read_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenise(file)
    monkeypatch.chdir(file.parent)
    again = tokenise(file.name)
    assert sum(read_rows) == 16
    assert again.facts.source == file.name


def test_a_folder_with_a_file_that_is_not_utf8(tokenise: Any, file: Path) -> None:
    (file.parent / "quoted.jsonl").write_bytes(b'{"prompt": "caf\xe9"}\n')
    with pytest.raises(DataError, match=r"quoted.jsonl: is not UTF-8 text"):
        tokenise(file.parent)
    with pytest.raises(DataError, match=r"quoted.jsonl: is not UTF-8 text"):
        tokenise(file.parent / "quoted.jsonl", limit=1)


def test_an_entry_that_cannot_be_read_is_made_anew(
    tokenise: Any, file: Path, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = tokenise(file)
    [entry] = (own_cache / "tokenized").iterdir()
    for name in ("facts.json", "records.arrow"):
        whole = (entry / name).read_bytes()
        (entry / name).write_bytes(whole[: len(whole) // 2])
        caplog.clear()
        assert tokenise(file).facts == first.facts
        [line] = caplog.messages
        assert line.startswith(f"{entry}: tokenised data cannot be read (")
        assert line.endswith("); it is made anew")
        assert (entry / name).read_bytes() == whole


def test_a_tokenizer_without_tools_gets_the_template_that_a_trainer_gives_it(
    tokenizer: PreTrainedTokenizerFast, stages: Any, tiny_model: ModelFactory
) -> None:
    plain = copy.deepcopy(tokenizer)
    row = row_of(PreferencePair(**PAIR_WITH_TOOLS))
    ready = DPOTrainer.tokenize([row | {"tools": PAIR_WITH_TOOLS["tools"]}], plain, DPOConfig(**stages.settings()))
    assert len(ready) == 1
    assert repr(ready) == "<1 pairs of 1 rows of list in memory>"


def test_an_entry_can_be_read_by_whoever_reads_the_cache(tokenise: Any, file: Path, own_cache: Path) -> None:
    tokenise(file)
    [entry] = (own_cache / "tokenized").iterdir()
    assert entry.stat().st_mode == entry.parent.stat().st_mode


def test_a_few_rows_of_a_file_are_known_by_these_rows(tokenise: Any, file: Path, read_rows: list[int]) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([lines[0], "\n", *lines[1:]]))
    first = tokenise(file, limit=3)
    file.write_text("".join([lines[0], "\n", *lines[1:8]]))
    assert tokenise(file, limit=3).facts == first.facts
    assert sum(read_rows) == 3
    file.write_text("".join([lines[0], "\n", lines[1], *lines[3:]]))
    assert tokenise(file, limit=3).facts.content != first.facts.content


def test_texts_that_utf8_cannot_hold(tokenise: Any, pairs: list[PreferencePair]) -> None:
    odd = pairs[0].model_copy(update={"id": "a\ud800b"})
    assert tokenise([odd])[0].id == "a?b"


def test_data_of_another_stage_is_refused(
    tiny_model: ModelFactory, tokenizer: PreTrainedTokenizerFast, dialogues: list[Dialogue], stages: Any
) -> None:
    ready = SFTTrainer.tokenize(dialogues, tokenizer, SFTConfig(**stages.settings()))
    with pytest.raises(DataError) as error:
        stages.dpo(tiny_model(), ready)
    assert str(error.value) == "DPOTrainer: data of list in memory: holds dialogues where pairs are needed"


def test_wrong_records_are_refused(tokenizer: PreTrainedTokenizerFast, file: Path, stages: Any) -> None:
    with pytest.raises(DataError, match=r"holds preference pairs .format preference. where dialogues are needed"):
        SFTTrainer.tokenize(str(file), tokenizer, SFTConfig(**stages.settings()))


def test_many_rows_take_bounded_memory(tokenizer: PreTrainedTokenizerFast, pairs: list[PreferencePair]) -> None:
    """No more rows are held than a few batches, however many there are."""
    alive = 0
    most = 0

    class Row(dict[str, Any]):
        def __init__(self, values: dict[str, Any]) -> None:
            nonlocal alive, most
            super().__init__(values)
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def rows() -> Iterator[Row]:
        for i in range(40 * tokenized._ROWS_AT_ONCE):
            yield Row(row_of(pairs[i % len(pairs)]))

    found = tokenize(Source(rows()), how(tokenizer, processes=1))
    assert len(found) == 40 * tokenized._ROWS_AT_ONCE
    assert most <= 3 * tokenized._ROWS_AT_ONCE
