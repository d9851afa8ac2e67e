"""Implicit rewards outside of a run are those that a trainer's evaluation prints, and log-ratios of plain forwards."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.training import vision
from tests.training.conftest import WORDS, said
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.data import load_pairs
from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import ConfigError, DataError
from turnpoint.objectives import Objective
from turnpoint.pairs import SampledReply, Samples, sample_pairs
from turnpoint.template import Renderer
from turnpoint.training import DPOConfig, DPOTrainer, evaluate_preferences, implicit_rewards
from turnpoint.tree import build_tree

ModelFactory = Callable[..., PreTrainedModel]

SETTINGS: dict[str, dict[str, Any]] = {
    "dpo": {"beta": 0.3},
    "rows of one pair": {"beta": 0.3, "max_tokens_per_row": 1},
    "diatool over the dialogue": {"reduction": "diatool", "turns_from": "dialogue", "gamma": 0.7},
    "ld": {"ld_alpha": 0.4},
    "without a reference": {"loss_type": "simpo", "beta": 2.0},
    "two losses": {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]},
    "pairs in each other's losses": {"loss_type": "aot"},
    "cut": {"max_length": 24, "overflow": "keep_start"},
}


def objective_of(settings: dict[str, Any]) -> tuple[Objective, dict[str, Any]]:
    how = ("turns_from", "max_length", "overflow", "max_tokens_per_row")
    beside = {name: value for name, value in settings.items() if name in how}
    return Objective(**{name: value for name, value in settings.items() if name not in how}), beside


@pytest.mark.parametrize("name", SETTINGS)
def test_the_numbers_of_a_trainer(
    stages: Any,
    tiny_model: ModelFactory,
    tokenizer: PreTrainedTokenizerFast,
    pairs: list[PreferencePair],
    name: str,
) -> None:
    objective, beside = objective_of(SETTINGS[name])
    reference = tiny_model(seed=1) if objective.needs_reference else None
    given = {"eval_dataset": pairs, "ref_model": tiny_model(seed=1) if objective.needs_reference else None}
    trainer = stages.dpo(tiny_model(), None, given=given, **{"beta": 0.1} | SETTINGS[name])
    printed = trainer.evaluate()
    report = evaluate_preferences(tiny_model(), tokenizer, pairs, reference=reference, objective=objective, **beside)
    ours = report.means.metrics() | {"loss": report.loss}
    compared = set(ours) & {metric.removeprefix("eval_") for metric in printed}
    assert compared >= {
        *("rewards/accuracies", "rewards/chosen", "rewards/rejected", "rewards/margins"),
        *("logps/chosen", "logps/rejected", "loss"),
    }
    assert ("length_bias" in compared) is (objective.needs_reference and name != "cut")  # which leaves too few pairs
    for metric in compared:
        assert ours[metric] == pytest.approx(printed[f"eval_{metric}"], abs=1e-12), metric
    assert 0 < report.means.accuracy < 1


def plain_logprob(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, dialogue: Dialogue, shared: int
) -> Tensor:
    """Of the turns after the first `shared`, from the logits of one plain forward."""
    tokenized = Renderer(tokenizer).tokenize(dialogue)
    ids = torch.tensor([list(tokenized.input_ids)])
    with torch.no_grad():
        logps = model(input_ids=ids).logits[0].log_softmax(-1)
    return torch.stack([logps[i - 1, ids[0, i]] for i in tokenized.scored(shared)]).sum()


def test_each_pair_is_what_plain_forwards_give(
    tiny_model: ModelFactory, tokenizer: PreTrainedTokenizerFast, pairs: list[PreferencePair]
) -> None:
    model, reference = tiny_model(), tiny_model(seed=1)
    report = evaluate_preferences(model, tokenizer, pairs, reference=reference, objective=Objective(beta=0.3))
    for pair, ranked in zip(pairs, report.pairs, strict=True):
        shared = sum(message.role == "assistant" for message in pair.prompt)
        for side in ("chosen", "rejected"):
            mine, theirs = (plain_logprob(each, tokenizer, pair.side(side), shared) for each in (model, reference))
            assert getattr(ranked, f"{side}_logp") == pytest.approx(float(mine), abs=1e-10)
            assert getattr(ranked, f"{side}_reward") == pytest.approx(float(0.3 * (mine - theirs)), abs=1e-10)
    assert [ranked.source for ranked in report.pairs] == [pair.source for pair in pairs]


# peft reads a property that this version of transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_is_measured_against_the_model_below_it(
    stages: Any, tiny_model: ModelFactory, tokenizer: PreTrainedTokenizerFast, pairs: list[PreferencePair]
) -> None:
    torch.manual_seed(2)
    adapter = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = get_peft_model(tiny_model(), adapter).double()
    given = {"eval_dataset": pairs, "ref_model": tiny_model()}
    printed = stages.dpo(copy.deepcopy(model), None, given=given).evaluate()
    means = evaluate_preferences(model, tokenizer, pairs, objective=Objective(beta=0.5)).means
    assert means.margin == pytest.approx(printed["eval_rewards/margins"], abs=1e-12)
    assert abs(means.margin) > 1e-3
    assert model.active_adapter == "default"


@pytest.mark.parametrize("kind", vision.KINDS)
def test_pairs_with_images(tmp_path: Path, kind: str) -> None:
    """Models whose tree holds and one whose tree does not; two pairs share their image."""
    made = vision.KINDS[kind]()
    reference = copy.deepcopy(made.model)
    with torch.no_grad():
        reference.get_output_embeddings().weight.mul_(0.5)
    pairs, _ = load_pairs(vision.rows())
    args = DPOConfig(output_dir=str(tmp_path))
    trainer = DPOTrainer(
        made.model, copy.deepcopy(reference), args, eval_dataset=vision.rows(), processing_class=made.processor
    )
    printed = trainer.evaluate()
    means = evaluate_preferences(vision.KINDS[kind]().model, made.processor, pairs, reference=reference).means
    assert means.margin == pytest.approx(printed["eval_rewards/margins"], rel=1e-9)
    assert means.pairs == len(vision.rows())


def test_kinds_sources_and_what_is_left_out(
    tiny_model: ModelFactory, tokenizer: PreTrainedTokenizerFast, pairs: list[PreferencePair]
) -> None:
    """Pair 1 is the longest of three: two whole exchanges, and a chosen side of two turns."""
    kinds = [pair.model_copy(update={"kind": kind}) for pair, kind in zip(pairs[:3], "abb", strict=True)]
    lengths = [
        max(len(Renderer(tokenizer).tokenize(pair.side(side)).input_ids) for side in ("chosen", "rejected"))
        for pair in pairs[:3]
    ]
    most = sorted(lengths)[1]
    left_out = [pair.source for pair, length in zip(kinds, lengths, strict=True) if length > most]
    report = evaluate_preferences(tiny_model(), tokenizer, kinds, reference=tiny_model(seed=1), max_length=most)
    assert len(report.pairs) == 2
    assert report.left_out == {f"longer than max_length {most}": left_out}
    assert [each.source for each in report.pairs] == [pair.source for pair in kinds if pair.source not in left_out]
    with pytest.raises(DataError) as error:
        evaluate_preferences(tiny_model(), tokenizer, kinds, reference=tiny_model(seed=1), max_length=2)
    assert str(error.value) == (
        "pairs: none is left to measure: left out 3: longer than max_length 2 (pairs:0, pairs:1, …)"
    )


@pytest.mark.parametrize(
    ("objective", "given", "turns_from", "line"),
    [
        (
            Objective(),
            False,
            "fork",
            "reference: is missing, and loss 'sigmoid' measures against one; name the model that training started from",
        ),
        (Objective(loss_type="simpo"), True, "fork", "reference: loss 'simpo' reads none; leave it out"),
        (
            Objective(loss_type="kto"),
            True,
            "fork",
            "objective: loss_type: 'kto' is for single completions; measure the rewards of its model with 'sigmoid',"
            " which are the same",
        ),
        (Objective(), True, "prompt", "turns_from: must be one of fork, dialogue (got 'prompt')"),
        (
            Objective(),
            True,
            "dialogue",
            "turns_from: reduction 'sum' scores the turns after the fork only (got 'dialogue'); leave it out",
        ),
    ],
)
def test_settings_that_cannot_be_honoured(
    tiny_model: ModelFactory,
    tokenizer: PreTrainedTokenizerFast,
    pairs: list[PreferencePair],
    objective: Objective,
    given: bool,
    turns_from: str,
    line: str,
) -> None:
    reference = tiny_model(seed=1) if given else None
    with pytest.raises(ConfigError) as error:
        evaluate_preferences(
            tiny_model(), tokenizer, pairs, reference=reference, objective=objective, turns_from=turns_from
        )
    assert str(error.value) == line


def samples_of(pairs: list[PreferencePair]) -> list[Samples]:
    """Of each pair its prompt, with the first messages of both sides and an empty reply between them."""
    return [
        Samples(
            prompt=pair.prompt,
            replies=(
                SampledReply(text="", message=pair.chosen[0]),
                SampledReply(text=""),
                SampledReply(text="", message=pair.rejected[0]),
            ),
            id=pair.id,
            source=pair.source,
        )
        for pair in pairs
    ]


@pytest.mark.parametrize("reduction", ["sum", "mean", "diatool"])
def test_rewards_of_replies_are_those_of_sides(
    tiny_model: ModelFactory, tokenizer: PreTrainedTokenizerFast, pairs: list[PreferencePair], reduction: str
) -> None:
    short = [pair.model_copy(update={"chosen": pair.chosen[:1], "rejected": pair.rejected[:1]}) for pair in pairs]
    objective = Objective(beta=0.3, reduction=reduction)
    model, reference = tiny_model(), tiny_model(seed=1)
    report = evaluate_preferences(model, tokenizer, short, reference=reference, objective=objective)
    rewards = implicit_rewards(model, reference, tokenizer, samples_of(short), objective=objective)
    for ranked, (chosen, empty, rejected) in zip(report.pairs, rewards, strict=True):
        assert (chosen, rejected) == pytest.approx((ranked.chosen_reward, ranked.rejected_reward), abs=1e-12)
        assert math.isnan(empty)
    built = sample_pairs(samples_of(short), rewards)
    assert [(pair.chosen, pair.rejected) for pair in built.pairs] == [
        (pair.chosen, pair.rejected) if ranked.chosen_reward > ranked.rejected_reward else (pair.rejected, pair.chosen)
        for pair, ranked in zip(short, report.pairs, strict=True)
    ]


def test_a_prompt_is_computed_once_for_all_its_replies(
    tiny_model: ModelFactory, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five replies of three tokens each, the end included, to a prompt of 60 words: a tree, and not five sequences."""
    replies = tuple(SampledReply(text="", message=said("assistant", i, 2)) for i in range(5))
    drawn = Samples(prompt=(said("user", 0, 60),), replies=replies, id="p")
    prompt = len(Renderer(tokenizer).prompt_ids(drawn.prompt, ()))
    sizes: list[int] = []

    def counted(sequences: Any) -> Any:
        tree = build_tree(sequences)
        sizes.append(len(tree.input_ids))
        return tree

    model, reference = tiny_model(), tiny_model(seed=1)
    expected = implicit_rewards(model, reference, tokenizer, [drawn])
    monkeypatch.setattr("turnpoint.tree.logprobs.build_tree", counted)
    assert implicit_rewards(model, reference, tokenizer, [drawn]) == expected
    assert len(expected[0]) == 5
    assert prompt > len(WORDS)
    assert all(size < 2 * prompt for size in sizes[-2:])  # policy and reference, one row each


def test_replies_that_do_not_fit_are_not_scored(tiny_model: ModelFactory, tokenizer: PreTrainedTokenizerFast) -> None:
    replies = tuple(SampledReply(text="", message=said("assistant", 0, words)) for words in (1, 40))
    drawn = Samples(prompt=(said("user", 0, 2),), replies=replies, id="p")
    model, reference = tiny_model(), tiny_model(seed=1)
    for overflow in ("drop", "keep_start"):
        scores = implicit_rewards(model, reference, tokenizer, [drawn], max_length=24, overflow=overflow)
        assert [math.isnan(score) for score in scores[0]] == [False, overflow == "drop"]
    assert implicit_rewards(model, reference, tokenizer, [drawn.model_copy(update={"replies": ()})]) == [[]]
    with pytest.raises(ConfigError) as error:
        implicit_rewards(model, reference, tokenizer, [drawn], objective=Objective(ld_alpha=0.5))
    assert str(error.value) == (
        "objective: ld_alpha: a reply by itself is not the longer side of a pair (got 0.5); leave it out"
    )
