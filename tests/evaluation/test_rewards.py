"""Rewards of records along the tree against plain forwards, and the numbers of a report by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.cli import tiny

from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.evaluation import evaluate_rewards, reward_scores, rewards
from turnpoint.evaluation.rewards import JudgedPair, RewardReport
from turnpoint.models import load_model, with_reward_head
from turnpoint.tree import Sharing


def said(role: str, content: str) -> Message:
    return Message.model_validate({"role": role, "content": content})


def pair(i: int, **fields: Any) -> PreferencePair:
    return PreferencePair(
        prompt=(said("user", f"Weather in {'Paris' if i % 2 else 'Rome'}?"),),
        chosen=(said("assistant", "It is sunny. " * (1 + i % 3)),),
        rejected=(said("assistant", "Which city?" + "!" * i), said("user", "Paris"), said("assistant", "No.")),
        source=f"file{i % 2}.jsonl:{i}",
        **fields,
    )


PAIRS = [pair(i, kind="call" if i % 3 else "slot") for i in range(7)]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny.tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tiny.save_model(tmp_path_factory.mktemp("tiny"))
    return with_reward_head(load_model(str(folder), dtype="float64"), seed=0)


def plain(model: Any, tokenizer: Any, dialogue: Dialogue) -> float:
    messages = [message.openai() for message in dialogue.messages]
    ids = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=False)
    score: float = model(ids).logits.item()
    return score


@pytest.mark.parametrize("max_tokens_per_row", [1, 60, 4096])
def test_scores_of_pairs_and_of_dialogues(model: Any, tokenizer: Any, max_tokens_per_row: int) -> None:
    sides = [[each.side("chosen"), each.side("rejected")] for each in PAIRS]
    expected = np.array([[plain(model, tokenizer, side) for side in both] for both in sides])
    found = reward_scores(model, tokenizer, PAIRS, max_tokens_per_row=max_tokens_per_row)
    np.testing.assert_allclose(found, expected, atol=1e-6)  # Llama's norms are in float32
    assert found.std() > 1e-3
    dialogues = [chosen for chosen, _ in sides]
    of_dialogues = reward_scores(model, tokenizer, dialogues, max_tokens_per_row=max_tokens_per_row)
    np.testing.assert_allclose(of_dialogues, expected[:, 0], atol=1e-6)
    assert reward_scores(model, tokenizer, dialogues[:1]).shape == (1,)
    assert reward_scores(model, tokenizer, []).shape == (0,)
    assert not model.training


def test_scores_where_the_tree_does_not_hold(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = reward_scores(model, tokenizer, PAIRS)
    monkeypatch.setattr(rewards, "check_sharing", lambda *_, **__: Sharing(False, "for this test"))
    np.testing.assert_allclose(reward_scores(model, tokenizer, PAIRS), expected, atol=1e-6)


def test_a_report_judges_the_scores(model: Any, tokenizer: Any) -> None:
    report = evaluate_rewards(model, tokenizer, PAIRS)
    scores = reward_scores(model, tokenizer, PAIRS)
    np.testing.assert_allclose([(each.chosen, each.rejected) for each in report.pairs], scores, atol=1e-9)
    assert report.pairs[4].source == "file0.jsonl:4"
    sides = [PAIRS[4].side("chosen"), PAIRS[4].side("rejected")]
    lengths = [len(tokenizer.apply_chat_template([m.openai() for m in s.messages], return_dict=False)) for s in sides]
    assert [report.pairs[4].chosen_tokens, report.pairs[4].rejected_tokens] == lengths
    assert {name: len(each.pairs) for name, each in report.by_kind.items()} == {"call": 4, "slot": 3}
    assert {name: len(each.pairs) for name, each in report.by_file.items()} == {"file0.jsonl": 4, "file1.jsonl": 3}
    assert torch.is_grad_enabled()


def judged(lead: float, longer: int = 0, source: str = "a:1") -> JudgedPair:
    """A pair whose chosen side leads 1, the score of the other side, by `lead`."""
    return JudgedPair(source, "", 1 + lead, 1.0, 10 + longer, 10)


def odds(probability: float) -> float:
    """The lead at which the model gives this probability to the chosen side."""
    return math.log(probability / (1 - probability))


def test_a_summary_by_hand() -> None:
    """Leads 2, -1, 0 and 1: two of four lead, and a tie does not."""
    report = RewardReport([judged(lead) for lead in (2, -1, 0, 1)])
    assert report.summary() == {"accuracy": 0.5, "chosen": 1.5, "rejected": 1.0, "margin": 0.5}


def test_calibration_by_hand() -> None:
    """Two pairs at 0.78, one of them wrong; two at 0.97, both right; one at 0.03 for the chosen side, 0.97 sure, wrong.

    Bin 0.75 to 0.80: gap |0.78 - 1/2| = 0.28; bin 0.95 to 1: |0.97 - 2/3| = 0.30333; mean over five pairs 0.294.
    """
    leads = [odds(0.78), odds(0.22), odds(0.97), odds(0.97), odds(0.03)]
    report = RewardReport([judged(lead) for lead in leads])
    bins = report.bins()
    assert [(round(each.start, 2), round(each.end, 2)) for each in bins[:2]] == [(0.5, 0.55), (0.55, 0.6)]
    assert [each.pairs for each in bins] == [0, 0, 0, 0, 0, 2, 0, 0, 0, 3]
    assert [bins[5].confidence, bins[5].accuracy] == pytest.approx([0.78, 0.5])
    assert [bins[9].confidence, bins[9].accuracy] == pytest.approx([0.97, 2 / 3])
    assert (bins[0].confidence, bins[0].accuracy, bins[0].gap) == (None, None, 0)
    assert report.calibration_error == pytest.approx((2 * 0.28 + 3 * (0.97 - 2 / 3)) / 5)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_model_that_is_very_sure() -> None:
    bins = RewardReport([judged(800.0), judged(-800.0)]).bins()
    assert (bins[9].pairs, bins[9].confidence, bins[9].accuracy) == (2, 1.0, 0.5)


def test_length_bias_by_hand() -> None:
    """Leads that grow with the difference of lengths, that fall with it, and that say nothing."""
    assert RewardReport([judged(0.1 * n, n) for n in range(16)]).length_bias == pytest.approx(1)
    assert RewardReport([judged(-0.1 * n, n) for n in range(16)]).length_bias == pytest.approx(-1)
    mixed = RewardReport([judged(1.0 if n % 2 else -1.0, n // 2) for n in range(16)])
    assert mixed.length_bias == pytest.approx(0)
    assert RewardReport([judged(0.1 * n, n) for n in range(15)]).length_bias is None
    assert RewardReport([judged(0.1 * n) for n in range(16)]).length_bias is None


def test_where_a_pair_comes_from() -> None:
    sources = {"a.jsonl:12": "a.jsonl", "C:/b.jsonl:3": "C:/b.jsonl", "made up": "made up", "": ""}
    assert {source: judged(1, source=source).file for source in sources} == sources
