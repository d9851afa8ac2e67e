"""FunctionChat-Bench: which turns are judged in which category, and what passes at them."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.replies import described, user, written

from turnpoint.data import Source
from turnpoint.dialogue import Decision
from turnpoint.evaluation import DecisionItem
from turnpoint.evaluation.benchmarks import BENCHMARKS, load_items
from turnpoint.evaluation.functionchat import grade
from turnpoint.evaluation.rates import DecisionReport
from turnpoint.sampling import Reply

SAMPLE = Path(__file__).parents[1] / "data" / "files" / "functionchat" / "FunctionChat-Dialog.jsonl"


def gold(item: DecisionItem) -> str:
    return item.said or "".join(written(call.name, **call.arguments) for call in item.calls)


def test_the_turns_of_the_sample_pass_by_what_the_data_says() -> None:
    """Each turn with its gold history; categories as the benchmark names them."""
    loaded = load_items("functionchat", Source(SAMPLE))
    assert set(loaded.kinds) <= {"call", "slot", "relevance", "completion"}
    verdicts = [grade(item, Reply(gold(item), cut=False)) for item in loaded.items]
    assert [each.reason for each in verdicts if not each.passed] == []
    assert loaded.notes == ("took a ground_truth that the history words in another way: 1 in 1 row",)
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    turns = [(row, turn) for row in rows for turn in row["turns"]]
    assert len(loaded.items) == len(turns)
    for item in loaded.items:
        assert [message.role for message in item.context] in [[m["role"] for m in turn["query"]] for _, turn in turns]


STOCK = {
    "type": "function",
    "function": {
        "name": "get_stock_price",
        "parameters": {
            "type": "object",
            "properties": {"stock_name": {"type": "string", "description": "조회할 주식 이름"}},
            "required": ["stock_name"],
        },
    },
}


def decision(kind: str, truth: dict[str, Any], **more: Any) -> dict[str, Any]:
    asked = [{"role": "user", "content": "애플 주가가 어떻게 돼?"}]
    return {"input_messages": asked, "input_tools": [STOCK], "type_of_output": kind, "ground_truth": truth, **more}


def call(**arguments: str) -> dict[str, Any]:
    function = {"name": "get_stock_price", "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}


@pytest.mark.parametrize(
    ("accepted", "value", "passed"),
    [
        (None, "애플", True),
        (None, "Apple", False),
        ('{"stock_name": ["Apple", "AAPL"]}', "apple", True),
        ('{"stock_name": "Apple"}', "Apple", True),
        ('{"stock_name": ["Apple"]}', "Microsoft", False),
        ("Only ground truth is allowed.", "Apple", False),
    ],
)
def test_arguments_that_the_data_accepts(accepted: str | None, value: str, passed: bool) -> None:
    row = decision("call", call(stock_name="애플"), acceptable_arguments=accepted)
    [item] = load_items("functionchat", Source([row])).items
    verdict = grade(item, Reply(written("get_stock_price", stock_name=value), cut=False))
    assert verdict.passed is passed, verdict.reason


def test_a_question_is_forgiven_in_the_calibrated_column_alone() -> None:
    [item] = load_items("functionchat", Source([decision("call", call(stock_name="애플"))])).items
    assert BENCHMARKS["functionchat"].forgives
    report = DecisionReport([grade(item, Reply("어느 종목이 궁금하세요?", cut=False))])
    assert (report.rate("call"), report.forgiving().rate("call")) == (0.0, 1.0)


def test_small_talk_counts_as_relevance_and_wants_an_answer() -> None:
    """Where the data says no, only a rejection passes; where it answers, only an answer."""
    no = {"role": "assistant", "content": "실시간 주가 정보를 제공하는 기능은 없습니다."}
    thanks = {"role": "assistant", "content": "천만에요! 언제든지 물어보세요."}
    for truth, due in ((no, Decision.RELEVANCE), (thanks, Decision.COMPLETION)):
        [item] = load_items("functionchat", Source([decision("relevance", truth)])).items
        assert (item.kind, item.decision) == ("relevance", due)
        for reply in (no, thanks):
            assert grade(item, Reply(reply["content"], cut=False)).passed is (reply is truth)


def test_a_question_has_to_ask_for_all_that_the_data_asks_for() -> None:
    item = DecisionItem(
        (user("새 계정을 만들고 싶습니다."),),
        (described("create_user", name="사용자의 이름", email="사용자의 이메일 주소", password="사용자의 비밀번호"),),
        Decision.SLOT,
        (),
        "hand",
        said="성함과 이메일 주소, 비밀번호를 알려주시겠어요?",
    )
    assert grade(item, Reply("이름, 이메일, 비밀번호를 말씀해 주세요.", cut=False)).passed
    partly = grade(item, Reply("이름을 알려주세요.", cut=False))
    assert (partly.passed, partly.sure) == (False, False)
    assert "but not for all that the data asks for" in partly.reason


def test_single_calls_are_a_category_for_each_set_of_tools() -> None:
    row = {
        "query": [{"serial_num": 1, "content": "애플 주가"}, {"serial_num": 2, "content": "구글 주가"}],
        "ground_truth": [
            {"serial_num": 1, "content": '{"name": "get_stock_price", "arguments": "{\\"stock_name\\": \\"애플\\"}"}'},
            {"serial_num": 2, "content": '{"name": "get_stock_price", "arguments": "{\\"stock_name\\": \\"구글\\"}"}'},
        ],
        "acceptable_arguments": [
            {"serial_num": 1, "content": '{"stock_name": ["Apple"]}'},
            {"serial_num": 2, "content": None},
        ],
        "tools": [{"type": "exact", "content": [STOCK]}, {"type": "4_close", "content": [STOCK]}],
    }
    loaded = load_items("functionchat", Source([row]))
    assert loaded.kinds == ("call, exact", "call, 4_close")
    assert len({item.dialogue for item in loaded.items}) == 2  # the sets of tools of one query belong together
    replies = {"애플 주가": "apple", "구글 주가": "google"}
    for item in loaded.items:
        asked = item.context[0].content or ""
        verdict = grade(item, Reply(written("get_stock_price", stock_name=replies[asked]), cut=False))
        assert verdict.passed is (asked == "애플 주가")
