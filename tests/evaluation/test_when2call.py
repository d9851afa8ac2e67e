"""When2Call: choices by log-prob against sums worked out from the logits, replies by kind, and figures by hand."""

from typing import Any

import pytest
import torch
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.evaluation.replies import written
from tests.sampling.handmade_models import unigram_model
from transformers import PreTrainedTokenizerFast

from turnpoint.data import Source
from turnpoint.dialogue import Decision, ToolCall
from turnpoint.evaluation.benchmarks import BENCHMARKS, load_items, open_benchmark
from turnpoint.evaluation.rates import DecisionReport
from turnpoint.evaluation.when2call import Question, choose, further_figures, questions
from turnpoint.sampling import Reply
from turnpoint.template import ensure_tool_template

CALL, SLOT, RELEVANCE, COMPLETION = Decision.CALL, Decision.SLOT, Decision.RELEVANCE, Decision.COMPLETION
TOOL = '{"name": "grades", "description": "", "parameters": {"type": "dict", "required": ["class_year"], "properties": {"class_year": {"type": "integer", "description": "Year"}}}}'  # noqa: E501
ANSWERS = {
    "direct": "The grades are fine.",
    "tool_call": '{"name": "grades", "arguments": {"class_year": 2}}',
    "request_for_info": "Which class year do you mean?",
    "cannot_answer": "I'm sorry, I can't look up grades.",
}


def row(correct: str, tools: list[str] | None = None, **more: Any) -> dict[str, Any]:
    offered = [TOOL] if tools is None else tools
    return {
        "uuid": correct,
        "question": "Grades?",
        "correct_answer": correct,
        "answers": ANSWERS,
        "tools": offered,
        **more,
    }


def asked(*rows: dict[str, Any]) -> list[Question]:
    opened = open_benchmark("when2call", Source(list(rows)))
    return list(questions(opened.rows, opened.changes))


def test_a_row_is_one_question_with_its_four_answers() -> None:
    [first, second] = asked(row("request_for_info", held_out_param="class_year"), row("cannot_answer", []))
    assert list(first.answers) == [CALL, SLOT, RELEVANCE, COMPLETION]
    assert first.answers[CALL].tool_calls == (ToolCall(name="grades", arguments={"class_year": 2}),)
    assert (first.item.decision, first.item.slots) == (SLOT, ("class_year",))
    assert [tool.name for tool in first.item.tools] == ["grades"]
    assert (second.item.decision, second.item.tools) == (RELEVANCE, ())
    assert load_items("when2call", Source([row("tool_call")])).kinds == ("call",)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    made = make_tokenizer()
    ensure_tool_template(made)
    return made


@pytest.mark.parametrize("seed", range(3))
def test_the_choice_is_by_the_sum_and_by_the_sum_over_characters(tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    """What ends the turn counts in neither; a call counts as the template writes it."""
    logits = 2 * torch.randn(len(tokenizer), generator=torch.Generator().manual_seed(seed))
    logps = logits.log_softmax(-1)
    texts = {
        CALL: '<tool_call>\n{"name": "grades", "arguments": {"class_year": 2}}\n</tool_call>',
        SLOT: ANSWERS["request_for_info"],
        RELEVANCE: ANSWERS["cannot_answer"],
        COMPLETION: ANSWERS["direct"],
    }
    sums = {kind: float(logps[tokenizer(text)["input_ids"]].sum()) for kind, text in texts.items()}
    shares = {kind: sums[kind] / len(texts[kind]) for kind in texts}
    model = unigram_model(tokenizer, dict(enumerate(logits.tolist())))
    chosen = choose(model, tokenizer, asked(row("cannot_answer")))
    for report, scores in ((chosen.raw, sums), (chosen.normalised, shares)):
        [verdict] = report.verdicts
        assert verdict.scores == pytest.approx(tuple(scores.values()), rel=1e-4)
        assert verdict.decided == max(scores, key=lambda kind: scores[kind])
        assert verdict.passed is (verdict.decided == RELEVANCE)
    assert chosen.normalised.kinds == (RELEVANCE,)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(ANSWERS["request_for_info"], SLOT), (ANSWERS["cannot_answer"], RELEVANCE), (ANSWERS["direct"], COMPLETION),
     (written("grades", class_year=9), CALL), (written("other"), CALL)],
)  # fmt: skip
def test_a_reply_is_put_into_one_of_the_four_kinds(reply: str, kind: Decision) -> None:
    """What it calls or asks for is no matter here."""
    for correct, due in (("tool_call", CALL), ("request_for_info", SLOT), ("cannot_answer", RELEVANCE)):
        [question] = asked(row(correct))
        verdict = BENCHMARKS["when2call"].grade(question.item, Reply(reply, cut=False))
        assert (verdict.decided, verdict.passed) == (kind, kind is due)


def test_figures_by_hand() -> None:
    """Due call, call, slot, relevance; decided call, slot, slot, call: F1 are 2/4, 2/3 and 0.

    Of one row without tools one calls.
    """
    grade = BENCHMARKS["when2call"].grade
    replies = (written("grades"), ANSWERS["request_for_info"], ANSWERS["request_for_info"], written("grades"))
    rows = (row("tool_call"), row("tool_call"), row("request_for_info"), row("cannot_answer", []))
    pairs = zip(asked(*rows), replies, strict=True)
    report = DecisionReport([grade(question.item, Reply(reply, cut=False)) for question, reply in pairs])
    assert further_figures(report) == {
        "macro F1": pytest.approx((1 / 2 + 2 / 3 + 0) / 3),
        "calls without tools": 1.0,
    }
    assert further_figures(DecisionReport([])) == {"macro F1": None, "calls without tools": None}
