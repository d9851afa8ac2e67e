"""BFCL's rules as tables, and which items its files hold."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.replies import written

from turnpoint.data import Source
from turnpoint.dialogue import Decision, Tool, ToolCall
from turnpoint.errors import DataError
from turnpoint.evaluation import DecisionItem
from turnpoint.evaluation.benchmarks import load_items
from turnpoint.evaluation.bfcl import fault_of_call, fault_of_calls, grade, has_type, is_allowed
from turnpoint.evaluation.items import AllowedCall
from turnpoint.sampling import Reply

SAMPLE = Path(__file__).parents[1] / "data" / "files" / "bfcl" / "BFCL_v4_parallel.json"


@pytest.mark.parametrize(
    ("value", "allowed", "passes"),
    [
        ("San Francisco, CA", "san francisco ca", True),
        ("2019-12-13", "2019/12/13", True),
        ("a_b*c^d.e", "ABCDE", True),
        ("New York", "NewYork", True),
        ("it's", "its", False),  # the apostrophe is not dropped
        ("Rome", "Paris", False),
        (5, 5, True),
        (5, 5.0, True),
        (5, 6, False),
        (True, 1, False),
        (1, True, False),
        ("5", 5, False),
        ([1, 2], [1, 2], True),
        ([2, 1], [1, 2], False),
        (["The Office"], ["the office"], True),
        ([[3, 4]], [[3, 4]], True),
        ({"min": 3, "max": 4}, {"min": [3], "max": [4, 5]}, True),
        ({"min": 3, "max": 6}, {"min": [3], "max": [4, 5]}, False),
        ({"min": 3}, {"min": [3], "max": [4, ""]}, True),
        ({"min": 3}, {"min": [3], "max": [4]}, False),
        ({"min": 3, "more": 1}, {"min": [3]}, False),
        ([{"a": "X"}, {"a": "y"}], [{"a": ["x"]}, {"a": ["Y"]}], True),
        ([{"a": "y"}, {"a": "x"}], [{"a": ["x"]}, {"a": ["y"]}], False),
        (None, None, True),
    ],
)
def test_a_value_against_an_allowed_one(value: Any, allowed: Any, passes: bool) -> None:
    assert is_allowed(value, allowed) is passes


@pytest.mark.parametrize(
    ("value", "schema", "has"),
    [
        (5, {"type": "integer"}, True),
        (5.0, {"type": "integer"}, False),
        (5, {"type": "number"}, True),
        (5.5, {"type": "number"}, True),
        (True, {"type": "integer"}, False),
        (True, {"type": "boolean"}, True),
        ("5", {"type": "integer"}, False),
        ([1, 2.5], {"type": "array", "items": {"type": "number"}}, True),
        (["1"], {"type": "array", "items": {"type": "number"}}, False),
        ([["a"]], {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}, True),
        ({}, {"type": "object"}, True),
        ("anything", {}, True),
    ],
)
def test_types(value: Any, schema: dict[str, Any], has: bool) -> None:
    assert has_type(value, schema) is has


AREA = Tool(
    name="math.area",
    parameters={
        "type": "object",
        "properties": {"base": {"type": "number"}, "height": {"type": "number"}, "unit": {"type": "string"}},
        "required": ["base", "height"],
    },
)
DUE = AllowedCall("math.area", {"base": [10], "height": [5], "unit": ["units", ""]})


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"base": 10, "height": 5}, ""),
        ({"base": 10.0, "height": 5, "unit": "Units"}, ""),
        ({"base": 10}, "leaves out height, which is required"),
        ({"base": 10, "height": 6}, "gives height=6, none of [5]"),
        ({"base": "10", "height": 5}, "gives base='10', which is no number"),
        ({"base": 10, "height": 5, "unit": "cm"}, "gives unit='cm', none of ['units', '']"),
        ({"base": 10, "height": 5, "colour": "red"}, "gives colour, which is not asked for"),
    ],
)
def test_a_call_against_the_allowed_values(arguments: dict[str, Any], fault: str) -> None:
    assert fault_of_call(ToolCall(name="math.area", arguments=arguments), DUE, AREA) == fault


def test_a_parameter_without_an_empty_value_must_be_there() -> None:
    due = AllowedCall("math.area", {"base": [10], "height": [5], "unit": ["cm"]})
    made = ToolCall(name="math.area", arguments={"base": 10, "height": 5})
    assert fault_of_call(made, due, AREA) == "leaves out unit"


def area(base: float, height: float = 5) -> ToolCall:
    return ToolCall(name="math.area", arguments={"base": base, "height": height})


def test_calls_in_any_order_each_due_one_once() -> None:
    """The first due call takes 1 or 2, the second only 1: 1, 2 passes, though the first would do for both."""
    either = AllowedCall("math.area", {"base": [1, 2], "height": [5]})
    one = AllowedCall("math.area", {"base": [1], "height": [5]})
    assert fault_of_calls([area(1), area(2)], [either, one], [AREA]) == ""
    assert fault_of_calls([area(2), area(1)], [either, one], [AREA]) == ""
    assert fault_of_calls([area(2), area(2)], [either, one], [AREA]) == "gives base=2, none of [1]"
    assert fault_of_calls([area(1)], [either, one], [AREA]) == "makes 1 calls, where 2 are due"
    assert fault_of_calls([ToolCall(name="other", arguments={})], [one], [AREA]) == "calls other"


def item(decision: Decision, allowed: tuple[AllowedCall, ...] | None = None) -> DecisionItem:
    return DecisionItem((), (AREA,), decision, (), "hand", category="live_relevance", allowed=allowed)


@pytest.mark.parametrize(
    ("at", "reply", "passed", "reason"),
    [
        (item(Decision.RELEVANCE), "No function fits.", True, "calls nothing"),
        (item(Decision.RELEVANCE), '<tool_call>{"name": ', True, "calls nothing"),  # what cannot be read calls nothing
        (item(Decision.RELEVANCE), written("math.area", base=1), False, "calls math.area, where nothing may be called"),
        (item(Decision.CALL), written("math.area", base=1), True, "makes the calls that are due"),  # relevance
        (item(Decision.CALL), written("other"), False, "calls other, which is not offered"),
        (item(Decision.CALL), "Which base?", False, "calls nothing"),
        (item(Decision.CALL, (DUE,)), written("math.area", base=10, height=5), True, "makes the calls that are due"),
        (item(Decision.CALL, (DUE,)), written("math.area", base=9, height=5), False, "gives base=9, none of [10]"),
        (item(Decision.CALL, (DUE,)), '<tool_call>{"name": ', False, "opens a call that cannot be read"),
    ],
)
def test_grades(at: DecisionItem, reply: str, passed: bool, reason: str) -> None:
    verdict = grade(at, Reply(reply, cut=False))
    assert (verdict.passed, verdict.reason) == (passed, reason)


def test_the_items_of_a_sample() -> None:
    loaded = load_items("bfcl", Source(SAMPLE))
    assert loaded.kinds == ("parallel",)
    assert {each.source for each in loaded.items} == {f"{SAMPLE.name}:{line}" for line in (1, 2)}
    first = next(each for each in loaded.items if each.source.endswith(":1"))
    assert first.allowed == (
        AllowedCall("spotify.play", {"artist": ["Taylor Swift"], "duration": [20]}),
        AllowedCall("spotify.play", {"artist": ["Maroon 5"], "duration": [15]}),
    )
    reply = written("spotify.play", artist="maroon-5", duration=15) + written(
        "spotify.play", artist="Taylor Swift", duration=20
    )
    assert grade(first, Reply(reply, cut=False)).passed


TASK = {
    "id": "multi_turn_miss_param_0",
    "question": [
        [{"role": "user", "content": "Open the folder 'a'."}],
        [{"role": "user", "content": "Sort the file."}],
        [{"role": "user", "content": "I mean 'b.txt'."}],
    ],
    "involved_classes": ["GorillaFileSystem"],
    "excluded_function": ["rm"],
}
ANSWER = {"id": "multi_turn_miss_param_0", "ground_truth": [["cd('a')"], [], ["sort(file_name='b.txt')"]]}
FUNCTIONS = [
    {"name": "cd", "description": "", "parameters": {"type": "dict", "properties": {"folder": {"type": "string"}}}},
    {
        "name": "sort",
        "description": "",
        "parameters": {"type": "dict", "properties": {"file_name": {"type": "string"}}},
    },
    {"name": "rm", "description": "", "parameters": {"type": "dict", "properties": {}}},
]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, *rows: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write_file


def test_the_turn_that_lacks_a_parameter_is_judged_after_the_calls_before_it(write: Write) -> None:
    file = write("tasks.json", TASK)
    write("possible_answer/tasks.json", ANSWER)
    write("multi_turn_func_doc/gorilla_file_system.json", *[{**each, "response": {}} for each in FUNCTIONS])
    [found] = load_items("bfcl", Source(file)).items
    assert (found.decision, found.kind) == (Decision.RELEVANCE, "multi_turn_miss_param")
    assert (found.source, found.dialogue) == ("tasks.json:1 message 4", "tasks.json:1")
    assert [message.role for message in found.context] == ["user", "assistant", "tool", "user"]
    assert found.context[1].tool_calls == (ToolCall(name="cd", arguments={"folder": "a"}),)
    assert [tool.name for tool in found.tools] == ["cd", "sort"]
    assert grade(found, Reply("Which file?", cut=False)).passed
    assert not grade(found, Reply(written("sort", file_name="a.txt"), cut=False)).passed


@pytest.mark.parametrize(
    ("task", "answer", "functions", "line"),
    [
        (TASK, ANSWER, False, "tasks.json:1: involved_classes: GorillaFileSystem: its functions are missing; lay"),
        (TASK, {**ANSWER, "ground_truth": [[]]}, True, "tasks.json:1: has no answer for each turn"),
        (
            TASK,
            {**ANSWER, "ground_truth": [["cd a"], [], []]},
            True,
            "tasks.json:1: ground_truth: must be a call of an",
        ),
        ({**TASK, "id": "multi_turn_base_0"}, ANSWER, True, "tasks.json:1: is of multi_turn_base, which needs"),
    ],
)
def test_tasks_that_cannot_be_read(
    write: Write, task: dict[str, Any], answer: dict[str, Any], functions: bool, line: str
) -> None:
    file = write("tasks.json", task)
    write("possible_answer/tasks.json", {**answer, "id": task["id"]})
    if functions:
        write("multi_turn_func_doc/gorilla_file_system.json", *FUNCTIONS)
    with pytest.raises(DataError) as error:
        load_items("bfcl", Source(file))
    assert str(error.value).startswith(line)


@pytest.mark.parametrize(
    ("id", "line"),
    [
        ("simple_java_1", "rows.json:1: is of simple_java, whose values are no JSON; leave the file out"),
        ("simple_python_1", "rows.json:1: has no answer; lay the file of answers into possible_answer beside the data"),
    ],
)
def test_rows_that_cannot_be_judged(write: Write, id: str, line: str) -> None:
    row = {"id": id, "question": [[{"role": "user", "content": "Go to a."}]], "function": FUNCTIONS[:1]}
    with pytest.raises(DataError) as error:
        load_items("bfcl", Source(write("rows.json", row)))
    assert str(error.value) == line


def test_files_of_another_benchmark(write: Write) -> None:
    row = {"id": "irrelevance_1", "question": [[{"role": "user", "content": "Hi"}]], "function": FUNCTIONS[:1]}
    [found] = load_items("bfcl", Source(write("rows.json", row))).items
    assert (found.kind, found.decision) == ("irrelevance", Decision.RELEVANCE)
    with pytest.raises(DataError, match=r"rows\.json: is of format bfcl; --benchmark when2call reads when2call$"):
        load_items("when2call", Source(write("rows.json", row)))
