"""`turnpoint pairs samples`: what a model wrote, by what the data says, by a reward model, by log-ratios."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import PAIR, Ran
from tests.pairs.dialogues import CALLS, says

from turnpoint.data import load_pairs
from turnpoint.pairs import SampledReply, Samples

Run = Callable[..., Ran]
Rows = Callable[..., str]
TEXTS = ["It is sunny.", "I am unable to do that.", "Which city?", ""]


@pytest.fixture
def samples(tmp_path: Path) -> str:
    file = tmp_path / "samples.jsonl"
    replies = tuple(SampledReply(text=text, message=says(text) if text else None) for text in TEXTS)
    drawn = Samples(
        prompt=CALLS.messages[:1], tools=CALLS.tools, gold=CALLS.messages[1:], replies=replies, id="a", source="f:1"
    )
    file.write_text(json.dumps(drawn.row()) + "\n", encoding="utf-8")
    return str(file)


def test_by_what_the_data_says(run: Run, samples: str, tmp_path: Path) -> None:
    output = str(tmp_path / "p.jsonl")
    ran = run("pairs", "samples", samples, "--by", "gold", "--select", "all", "--output", output)
    assert ran.code == 0, ran.err
    pairs, _ = load_pairs(output)
    assert [pair.rejected[0].content for pair in pairs] == TEXTS[:3]
    assert all(pair.chosen[0].tool_calls for pair in pairs)
    assert "4 replies scored, 0.000 on average" in ran.err
    assert "left out 1: is empty" in ran.err


def test_by_the_score_of_a_reward_model(run: Run, rows: Rows, model: str, samples: str, tmp_path: Path) -> None:
    from turnpoint.dialogue import Dialogue
    from turnpoint.evaluation import reward_scores
    from turnpoint.models import load_reward_model, load_tokenizer
    from turnpoint.template import ensure_tool_template

    judge, output = str(tmp_path / "reward"), str(tmp_path / "p.jsonl")
    assert run("reward", rows(PAIR), "--model", model, "--output", judge, "--max_steps", "1").code == 0
    ran = run("pairs", "samples", samples, "--by", "reward", "--model", judge, "--output", output)
    assert ran.code == 0, ran.err
    tokenizer = load_tokenizer(judge)
    ensure_tool_template(tokenizer)
    dialogues = [Dialogue(messages=(CALLS.messages[0], says(text)), tools=CALLS.tools) for text in TEXTS[:3]]
    scores = dict(zip(TEXTS, reward_scores(load_reward_model(judge), tokenizer, dialogues).tolist(), strict=False))
    [pair] = load_pairs(output)[0]
    ends = (max(scores, key=scores.__getitem__), min(scores, key=scores.__getitem__))
    assert (pair.chosen[0].content, pair.rejected[0].content) == ends


def test_by_log_ratios_of_a_model_that_is_its_own_reference(run: Run, model: str, samples: str, tmp_path: Path) -> None:
    """Every log-ratio is 0, so no reply is better than another."""
    words = ["--by", "implicit", "--model", model, "--reference", model, "--output", str(tmp_path / "p.jsonl")]
    ran = run("pairs", "samples", samples, *words)
    assert ran.code == 2
    assert "no reply is better than another by more than the margin (1)" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--by", "reward"], "model: is needed to tell good replies by reward; add --model NAME"),
        (["--by", "implicit", "--model", "x"], "reference: is needed to tell good replies by implicit"),
        (["--by", "gold", "--model", "x"], "model: has no effect on --by gold (got 'x'); leave it out"),
        (["--by", "gold", "--margin", "-1"], "margin: must be a difference of scores from 0 (got -1.0)"),
    ],
)
def test_mistakes_are_one_line(run: Run, samples: str, tmp_path: Path, words: list[str], message: str) -> None:
    ran = run("pairs", "samples", samples, *words, "--output", str(tmp_path / "p.jsonl"))
    assert ran.code == 2
    assert message in ran.err
