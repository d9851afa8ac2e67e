"""Choices by log-prob: against means worked out from the logits of a model that gives every token a fixed one."""

import json

import pytest
import torch
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.pairs.dialogues import ALL, CALLS, REFUSES, SEND, WEATHER, tool
from tests.sampling.handmade_models import unigram_model
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from turnpoint.dialogue import Decision, Message, ToolCall
from turnpoint.evaluation import (
    DecisionItem,
    DecisionReport,
    Verdict,
    calibrated,
    choices,
    decision_items,
    evaluate_choices,
)
from turnpoint.evaluation.choices import ANSWERS, QUESTIONS, REJECTIONS, candidates
from turnpoint.template import ensure_tool_template
from turnpoint.tree import Sharing

CALL, SLOT, RELEVANCE, COMPLETION = Decision.CALL, Decision.SLOT, Decision.RELEVANCE, Decision.COMPLETION


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    made = make_tokenizer()
    ensure_tool_template(made)
    return made


def item(kind: Decision = CALL, **changes: object) -> DecisionItem:
    made = DecisionItem(CALLS.messages[:1], (SEND, WEATHER), kind, CALLS.messages[1].tool_calls, "hand")
    return made._replace(**changes)  # type: ignore[arg-type]


def test_the_four_turns_of_a_call() -> None:
    turns = candidates(item(), 5)
    assert turns[CALL].tool_calls == CALLS.messages[1].tool_calls
    assert turns[SLOT].content == "Before I start, would you share the city with me?"
    assert turns[RELEVANCE].content == REJECTIONS[1]
    assert turns[COMPLETION].content == "Good news, this is what came back: done."


def test_the_question_asks_for_a_slot_that_nobody_has_named() -> None:
    call = ToolCall(name="weather", arguments={"city": "Paris", "day": "Monday"})
    said = (Message(role="user", content="The weather in Paris, please"),)
    assert candidates(item(SLOT, context=said, calls=(call,)), 1)[SLOT].content == QUESTIONS[1].format(slot="day")


def test_after_a_result_the_call_is_the_one_just_made() -> None:
    later = (ToolCall(name="send_money", arguments={"to": "Ann"}),)
    turns = candidates(item(COMPLETION, context=CALLS.messages[:3], calls=later), 0)
    assert turns[CALL].tool_calls == CALLS.messages[1].tool_calls


def test_an_answer_quotes_the_start_of_the_result() -> None:
    answer = candidates(item(COMPLETION, context=CALLS.messages[:3]), 0)[COMPLETION]
    assert answer.content == "All set: sunny."
    long = (*CALLS.messages[:2], Message(role="tool", content="{x}" * 50))
    assert candidates(item(COMPLETION, context=long), 0)[COMPLETION].content == f"All set: {('{x}' * 50)[:80]}."


def test_where_the_dialogue_calls_nothing_a_call_of_an_offered_tool_is_made_up() -> None:
    turns = candidates(item(RELEVANCE, calls=(), tools=(SEND, WEATHER)), 1)
    assert turns[CALL].tool_calls == (ToolCall(name="weather", arguments={"city": "city", "day": "day"}),)
    assert candidates(item(RELEVANCE, calls=(), tools=(tool("now"),)), 0)[SLOT].content == QUESTIONS[0].format(
        slot="request"
    )


def test_wordings_take_turns() -> None:
    for kind, wordings in ((SLOT, QUESTIONS), (COMPLETION, ANSWERS), (RELEVANCE, REJECTIONS)):
        assert len({candidates(item(), number)[kind].content for number in range(8)}) == len(wordings)


def rendered(turn: Message) -> str:
    """What the ChatML tool template makes of a turn, its header left out."""
    calls = [json.dumps({"name": call.name, "arguments": call.arguments}) for call in turn.tool_calls]
    return "".join([turn.content or "", *(f"<tool_call>\n{call}\n</tool_call>" for call in calls), "<|im_end|>"])


@pytest.mark.parametrize("seed", range(3))
def test_the_choice_is_the_candidate_with_the_highest_mean(tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    logits = 3 * torch.randn(len(tokenizer), generator=torch.Generator().manual_seed(seed))
    model = unigram_model(tokenizer, dict(enumerate(logits.tolist())))
    logps = logits.log_softmax(-1)
    report = evaluate_choices(model, tokenizer, ALL)
    for number, (each, verdict) in enumerate(zip(decision_items(ALL), report.verdicts, strict=True)):
        means = {
            kind: float(logps[tokenizer(rendered(turn))["input_ids"]].mean())
            for kind, turn in candidates(each, number).items()
        }
        assert verdict.item == each
        assert verdict.decided == max(means, key=lambda kind: means[kind]), means
        assert verdict.passed is (verdict.decided == each.decision)


def test_a_model_that_likes_calls_calls(tokenizer: PreTrainedTokenizerFast) -> None:
    """Quotes and braces fill calls; texts have letters."""
    liked = tokenizer('"{}:<>_')["input_ids"] + tokenizer('", "')["input_ids"]
    report = evaluate_choices(unigram_model(tokenizer, dict.fromkeys(liked, 9.0)), tokenizer, ALL)
    assert [report.rate(kind) for kind in (CALL, SLOT, RELEVANCE, COMPLETION)] == [1.0, 0.0, 0.0, 0.0]
    assert report.counts() == {CALL: 3, SLOT: 1, RELEVANCE: 3, COMPLETION: 3}
    assert report.arguments is None
    assert report.verdicts[0].text.startswith("(ToolCall(name=")


def test_calibration_takes_the_mean_of_each_kind_off() -> None:
    """Both calls are likeliest. Means -1.1, -2.5, -3, -3 leave 0.1 to the first call and 0.5 to the second question."""
    scores = {CALL: (-1.0, -3.0, -3.0, -3.0), SLOT: (-1.2, -2.0, -3.0, -3.0)}
    raw = DecisionReport([Verdict(item(kind), CALL, kind is CALL, "", scores=row) for kind, row in scores.items()])
    verdicts = calibrated(raw).verdicts
    assert [(each.decided, each.passed) for each in verdicts] == [(CALL, True), (SLOT, True)]
    assert [each.scores for each in verdicts] == [pytest.approx((0.1, -0.5, 0, 0)), pytest.approx((-0.1, 0.5, 0, 0))]
    assert [each.text for each in verdicts] == [repr(CALLS.messages[1].tool_calls), QUESTIONS[1].format(slot="city")]
    assert calibrated(DecisionReport([])).verdicts == []


def test_scores_are_kept_and_calibrated_to_mean_zero(tokenizer: PreTrainedTokenizerFast) -> None:
    logits = torch.randn(len(tokenizer), generator=torch.Generator().manual_seed(0))
    report = evaluate_choices(unigram_model(tokenizer, dict(enumerate(logits.tolist()))), tokenizer, ALL)
    moved = torch.tensor([verdict.scores for verdict in calibrated(report).verdicts], dtype=torch.float64)
    raw = torch.tensor([verdict.scores for verdict in report.verdicts], dtype=torch.float64)
    torch.testing.assert_close(moved, raw - raw.mean(0))


def llama(size: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=4096,
        attention_dropout=0.5,
        initializer_range=0.5,
    )
    return LlamaForCausalLM(config).double()


def test_without_sharing_and_in_training_mode_the_choices_are_the_same(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = llama(len(tokenizer)).eval()
    expected = [verdict.decided for verdict in evaluate_choices(model, tokenizer, ALL).verdicts]
    assert len(set(expected)) > 1
    model.train()
    assert [verdict.decided for verdict in evaluate_choices(model, tokenizer, ALL).verdicts] == expected
    assert model.training
    monkeypatch.setattr(choices, "check_sharing", lambda *_: Sharing(False, "for this test"))
    assert [verdict.decided for verdict in evaluate_choices(model, tokenizer, ALL).verdicts] == expected


def test_a_balanced_sample(tokenizer: PreTrainedTokenizerFast) -> None:
    model = unigram_model(tokenizer, {})
    assert evaluate_choices(model, tokenizer, ALL, per_kind=1).counts() == dict.fromkeys(
        (CALL, SLOT, RELEVANCE, COMPLETION), 1
    )
    assert evaluate_choices(model, tokenizer, [REFUSES], per_kind=1).counts()[RELEVANCE] == 1
