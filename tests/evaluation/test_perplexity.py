"""Perplexity: of a model that gives every token a fixed probability, by hand; and that of SFT, in float64."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.pairs.dialogues import ALL, CALLS, CONFIRMS, says, user
from tests.sampling.handmade_models import unigram_model
from tests.sampling.test_generate import llama
from transformers import PreTrainedTokenizerFast

from turnpoint.dialogue import Dialogue
from turnpoint.errors import DataError
from turnpoint.evaluation import evaluate_perplexity
from turnpoint.evaluation.perplexity import TEXT, Perplexity
from turnpoint.template import Overflow, Renderer, ensure_tool_template
from turnpoint.training import SFTConfig, SFTTrainer

TEXT_ROW = Dialogue(messages=(says("It is sunny in Paris"),), source="t.jsonl:1", verbatim=True)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    made = make_tokenizer()
    ensure_tool_template(made)
    return made


def test_every_token_costs_what_the_model_says(tokenizer: PreTrainedTokenizerFast) -> None:
    """Logit 5 for the end of a turn, 0 for V - 1 others: with Z = e^5 + V - 1 the end costs log Z - 5, others log Z.

    The turn "zq" is two tokens and the end: (3 log Z - 5) / 3 nats a token.
    """
    model = unigram_model(tokenizer, {tokenizer.eos_token_id: 5.0}).double()
    dialogue = Dialogue(messages=(user("Weather in Paris?"), says("zq")), source="d.jsonl:1")
    assert len(tokenizer("zq")["input_ids"]) == 2
    report = evaluate_perplexity(model, tokenizer, [dialogue])
    nats = math.log(math.exp(5) + len(tokenizer) - 1) - 5 / 3
    assert report.of_all == pytest.approx((1, 3, nats))
    assert report.of_all.perplexity == pytest.approx(math.exp(nats))


def test_plain_text_counts_all_its_tokens_but_the_first(tokenizer: PreTrainedTokenizerFast) -> None:
    """The same probability for every token: log V each, and a perplexity of V. The end of the text counts."""
    model = unigram_model(tokenizer, {}).double()
    words = len(tokenizer("It is sunny in Paris")["input_ids"])
    [turn] = evaluate_perplexity(model, tokenizer, [TEXT_ROW]).turns
    assert (turn.kind, turn.tokens) == (TEXT, words)
    assert turn.nats == pytest.approx(words * math.log(len(tokenizer)))
    assert evaluate_perplexity(model, tokenizer, [TEXT_ROW]).of_all.perplexity == pytest.approx(len(tokenizer))


def test_turns_by_decision_and_by_file(tokenizer: PreTrainedTokenizerFast) -> None:
    """Turns that are not trained on do not count."""
    untrained = CALLS.messages[1].model_copy(update={"train": False})
    partly = CALLS.model_copy(update={"messages": (CALLS.messages[0], untrained, *CALLS.messages[2:])})
    report = evaluate_perplexity(unigram_model(tokenizer, {}), tokenizer, [*ALL, partly, TEXT_ROW])
    assert {kind: each.turns for kind, each in report.by_kind.items()} == {
        "slot": 1,
        "call": 3,
        "completion": 4,
        "relevance": 1,
        "confirm": 1,
        "text": 1,
    }
    assert {file: each.turns for file, each in report.by_file.items()} == {"hand": 10, "t.jsonl": 1}
    assert report.of_all.tokens == sum(each.tokens for each in report.by_kind.values())
    assert report.dialogues == 6


@pytest.mark.parametrize(("overflow", "kept"), [(None, 5), ("drop", 2), ("keep_start", 4)])
def test_it_is_the_loss_of_sft(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, overflow: Overflow | None, kept: int
) -> None:
    """Without a limit; and with one that two of five dialogues keep, and beyond which all turns of another one lie."""
    torch.manual_seed(0)
    model = llama(len(tokenizer)).double().eval()
    dialogues = [*ALL, TEXT_ROW]
    lengths = sorted(len(Renderer(tokenizer).tokenize(each).input_ids) for each in dialogues)
    limits: dict[str, Any] = {} if overflow is None else {"max_length": lengths[1], "overflow": overflow}
    report = evaluate_perplexity(model, tokenizer, dialogues, **limits)
    args = SFTConfig(output_dir=str(tmp_path), **{"max_length": None} | limits)
    trainer = SFTTrainer(model, args, eval_dataset=dialogues, processing_class=tokenizer)
    loss = trainer.evaluate()["eval_loss"]
    assert report.of_all.nats == pytest.approx(loss, abs=1e-12)
    assert report.of_all.perplexity == pytest.approx(math.exp(loss), rel=1e-12)
    assert report.dialogues == kept
    assert sum(map(len, report.left_out.values())) == 5 - kept


def test_rows_and_modes_change_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    model = llama(len(tokenizer)).double().train()
    whole = evaluate_perplexity(model, tokenizer, ALL)
    alone = evaluate_perplexity(model, tokenizer, ALL, max_tokens_per_row=1)
    assert [turn.nats for turn in alone.turns] == pytest.approx([turn.nats for turn in whole.turns], abs=1e-10)
    assert model.training


def test_nothing_to_measure(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(DataError) as error:
        evaluate_perplexity(unigram_model(tokenizer, {}), tokenizer, [CALLS, CONFIRMS], max_length=8)
    assert str(error.value) == (
        "dialogues: none is left to measure: left out 2: longer than max_length 8 (hand:2, hand:4)"
    )


def test_a_perplexity_beyond_floats_is_infinite() -> None:
    assert Perplexity(1, 1, 1000.0).perplexity == math.inf
