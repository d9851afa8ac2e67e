"""The shipped dialogues: parts that share nothing, tools to choose from, licences beside the data."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from turnpoint.data import load_dialogues
from turnpoint.dialogue import Decision, Dialogue, Message, decisions
from turnpoint.recipes.dialogues import DATA, Parts, demo_parts, opening_request

GLAIVE, API_BANK = "glaive_toolcall_en_demo.json", "dialogues.jsonl"
SGD_TRAIN, SGD_DEV = "train_openai_messages.jsonl", "dev_openai_messages.jsonl"


@pytest.fixture(scope="module")
def parts() -> Parts:
    return demo_parts()


@pytest.fixture(scope="module")
def tools() -> dict[str, frozenset[str]]:
    """Source of a Glaive or API-Bank dialogue -> names of the tools that its file gives it."""
    files = (DATA / "glaive" / GLAIVE, DATA / "api_bank" / API_BANK)
    dialogues = [dialogue for file in files for dialogue in load_dialogues(file)[0]]
    return {dialogue.source: frozenset(tool.name for tool in dialogue.tools) for dialogue in dialogues}


def file_of(dialogue: Dialogue) -> str:
    return dialogue.source.replace("[", ":").split(":")[0]


def test_every_part_has_dialogues_of_its_sources(parts: Parts) -> None:
    assert {file_of(dialogue) for dialogue in parts.sft} == {GLAIVE, API_BANK, SGD_TRAIN}
    assert {file_of(dialogue) for dialogue in parts.pairs} == {GLAIVE, API_BANK, SGD_TRAIN}
    assert {file_of(dialogue) for dialogue in parts.dev} == {GLAIVE, API_BANK, SGD_DEV}
    assert min(len(part) for part in parts) > 100


def test_no_dialogue_is_in_two_parts(parts: Parts) -> None:
    for name in ("id", "source"):
        values = [getattr(dialogue, name) for part in parts for dialogue in part]
        assert len(set(values)) == len(values)


def test_every_dialogue_with_tools_is_in_a_part(parts: Parts) -> None:
    files = (DATA / "glaive" / GLAIVE, DATA / "api_bank" / API_BANK, DATA / "sgd" / SGD_TRAIN, DATA / "sgd" / SGD_DEV)
    with_tools = [dialogue for file in files for dialogue in load_dialogues(file)[0] if dialogue.tools]
    assert {dialogue.source for part in parts for dialogue in part} == {dialogue.source for dialogue in with_tools}


def test_no_opening_request_is_in_two_parts(parts: Parts) -> None:
    requests = [{opening_request(dialogue) for dialogue in part} for part in parts]
    assert not requests[0] & requests[1] | requests[0] & requests[2] | requests[1] & requests[2]


def test_an_opening_request_is_told_without_case_and_punctuation() -> None:
    said = (Message(role="system", content="Hi"), Message(role="user", content="Book a flight, please!"))
    assert opening_request(Dialogue(messages=said)) == "book a flight please"


def test_no_set_of_tools_of_glaive_and_api_bank_is_in_two_parts(parts: Parts, tools: dict[str, frozenset[str]]) -> None:
    sets = [{tools[dialogue.source] for dialogue in part if dialogue.source in tools} for part in parts]
    assert all(sets)
    assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]


def everything(parts: Sequence[Sequence[Dialogue]]) -> list[Dialogue]:
    return [dialogue for part in parts for dialogue in part]


def test_a_dialogue_ends_with_its_first_answer_to_a_result(parts: Parts) -> None:
    for dialogue in everything(parts):
        roles = [message.role for message in dialogue.messages]
        answered = [
            i
            for i, decision in zip(dialogue.turns, decisions(dialogue), strict=True)
            if i and roles[i - 1] == "tool" and decision is Decision.COMPLETION
        ]
        assert answered in ([], [len(roles) - 1]), dialogue.source
        assert ("assistant", "assistant") not in itertools.pairwise(roles), dialogue.source


def test_nothing_is_said_beside_a_call(parts: Parts) -> None:
    assert not any(m.content for dialogue in everything(parts) for m in dialogue.messages if m.tool_calls)


def test_a_result_that_is_a_list_keeps_its_first_entry(parts: Parts) -> None:
    messages = [message for dialogue in everything(parts) for message in dialogue.messages if message.role == "tool"]
    sizes = [len(json.loads(each.content)) for each in messages if each.content and each.content.startswith("[")]
    assert set(sizes) <= {0, 1}
    assert sizes.count(1) > 50


def test_there_are_tools_to_choose_from_but_none_beside_a_refusal(
    parts: Parts, tools: dict[str, frozenset[str]]
) -> None:
    for dialogue in everything(parts):
        names = {tool.name for tool in dialogue.tools}
        own = tools.get(dialogue.source)
        if Decision.RELEVANCE in decisions(dialogue):
            assert own is None or names == own  # another tool might do what was refused
        else:
            assert len(names) > 1, dialogue.source
        if own is not None:
            assert own <= names
            assert len(own) == 1 or names == own


def test_tools_of_a_part_come_from_that_part(parts: Parts, tools: dict[str, frozenset[str]]) -> None:
    """What is added to the held-back dialogues beside their own tools was not drawn from training."""
    own = {name for dialogue in parts.dev for name in tools.get(dialogue.source, ())}
    sgd = {tool.name for dialogue in load_dialogues(DATA / "sgd" / SGD_DEV)[0] for tool in dialogue.tools}
    assert {tool.name for dialogue in parts.dev for tool in dialogue.tools} == own | sgd


@pytest.mark.parametrize("folder", [folder for folder in DATA.iterdir() if folder.is_dir()], ids=lambda each: each.name)
def test_licence_and_source_stand_beside_the_data(folder: Path) -> None:
    source = (folder / "SOURCE.txt").read_text(encoding="utf-8")
    licences = [file.read_text(encoding="utf-8") for file in folder.glob("LICENSE*")]
    assert licences
    assert all(len(text) > 500 for text in licences)
    if folder.name == "sgd":
        assert "CC BY-SA 4.0" in source
        assert "Attribution: Rastogi" in source
        assert any("Attribution-ShareAlike 4.0 International" in text for text in licences)
    else:
        assert "Apache-2.0" in source
        assert any("Apache License" in text for text in licences)


def test_the_data_of_all_three_sources_ships() -> None:
    assert {folder.name for folder in DATA.iterdir() if folder.is_dir()} == {"glaive", "api_bank", "sgd"}
