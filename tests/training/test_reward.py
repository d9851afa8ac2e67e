"""The stage reward: scores are those of a plain classifier, updates those of the loss written out; what it saves loads.

Exact comparisons are made on GPT-2 in float64; Llama computes norms and rotary tables in float32 whatever the dtype.
"""

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from accelerate import Accelerator
from peft import AutoPeftModelForSequenceClassification, LoraConfig
from tests.training.vision import llava
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, EvalPrediction, PreTrainedModel

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.errors import CheckpointError, ConfigError
from turnpoint.models import load_model, load_reward_model, with_reward_head
from turnpoint.training import RewardConfig, RewardTrainer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    reward_trainer = pytest.importorskip("trl.trainer.reward_trainer", reason="TRL is for development only")

ModelFactory = Callable[..., PreTrainedModel]

SETTINGS: dict[str, Any] = {"margin": 0.3, "label_smoothing": 0.1, "center_rewards_coefficient": 0.05}
CUTS: list[dict[str, Any]] = [
    {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
    {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
    {"max_tokens_per_row": 60},
    {"max_tokens_per_row": 100_000},
    {"activation_checkpointing": True},
]
ADAPTER = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
# peft reads a property that this version of transformers has renamed.
PEFT_WARNS = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def weighed(pairs: list[PreferencePair]) -> list[PreferencePair]:
    """The pairs, the first ones with weights and margins of their own."""
    own: list[dict[str, Any]] = [{"weight": 2.5}, {"margin": -0.7}, {"weight": 0.5, "margin": 1.0}]
    return [pair.model_copy(update=own[i] if i < len(own) else {}) for i, pair in enumerate(pairs)]


def weights(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def classifier(tiny_model: ModelFactory, kind: str = "gpt2", dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    """A reward model whose scores are far from 0."""
    model = with_reward_head(tiny_model(kind, dtype), seed=0)
    with torch.no_grad():
        model.score.weight.mul_(30)
    return model


def rendered(tokenizer: Any, pair: PreferencePair, side: str) -> list[int]:
    """Token ids of a side as a user of transformers gets them."""
    messages = [message.openai() for message in (*pair.prompt, *getattr(pair, side))]
    ids: list[int] = tokenizer.apply_chat_template(messages, return_dict=False)
    return ids


def plain_scores(model: nn.Module, tokenizer: Any, pairs: Sequence[PreferencePair]) -> Tensor:
    """Scores of chosen and rejected sides, each from a forward by itself, [N, 2]."""
    sides = [[rendered(tokenizer, pair, side) for side in ("chosen", "rejected")] for pair in pairs]
    return torch.stack([torch.cat([model(torch.tensor([ids])).logits[0] for ids in both]) for both in sides])


def scores_in_a_step(trainer: RewardTrainer) -> Tensor:
    """Scores of all training pairs as one step has them, [N, 2]."""
    tally = trainer.executor.evaluate(trainer.stage, trainer.model.eval(), list(trainer.train_dataset))
    return torch.stack(tally.of_items)


@pytest.mark.parametrize(("kind", "within"), [("gpt2", 1e-12), ("llama", 1e-5)])
def test_scores_are_those_of_plain_forwards(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], kind: str, within: float
) -> None:
    model = classifier(tiny_model, kind)
    trainer = stages.reward(model, pairs, max_tokens_per_row=200)
    expected = plain_scores(model, trainer.processing_class, pairs).detach()
    for shared in (True, False):
        trainer.executor.shared = shared
        torch.testing.assert_close(scores_in_a_step(trainer), expected, atol=within, rtol=0)
    assert expected.std() > 0.5
    trainer.train()
    assert trainer.executor.shared  # the probe finds no difference


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_a_padded_batch_gives_the_same_scores(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], padding_side: str
) -> None:
    """The end of a turn was the padding of this tokenizer; another token is now, in the tokenizer and in the model."""
    model = classifier(tiny_model)
    trainer = stages.reward(model, pairs)
    tokenizer = trainer.processing_class
    assert (stages.tokenizer.pad_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_start|>")
    assert model.config.pad_token_id == tokenizer.pad_token_id
    ids = [rendered(tokenizer, pair, "chosen") for pair in pairs]
    batch = tokenizer.pad({"input_ids": ids}, padding_side=padding_side, return_tensors="pt")
    positions = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    padded = model(**batch, position_ids=positions).logits[:, 0].detach()
    torch.testing.assert_close(padded, scores_in_a_step(trainer)[:, 0], atol=1e-12, rtol=0)


def test_a_step_is_the_loss_written_out(stages: Any, tiny_model: ModelFactory, weighed: list[PreferencePair]) -> None:
    """Loss and gradients of sixteen pairs: weights 2.5 and 0.5, margins -0.7 and 1.0, that of the setting elsewhere."""
    model = classifier(tiny_model)
    trainer = stages.reward(model, weighed, max_tokens_per_row=60, **SETTINGS)
    loss = trainer.executor.train(trainer.stage, model, list(trainer.train_dataset)).loss
    found = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    model.zero_grad()

    terms, counts = [], []
    for pair, (chosen, rejected) in zip(weighed, plain_scores(model, trainer.processing_class, weighed), strict=True):
        lead = chosen - rejected - (0.3 if pair.margin is None else pair.margin)
        right, wrong = torch.log(1 + torch.exp(-lead)), torch.log(1 + torch.exp(lead))
        terms.append(pair.weight * (0.9 * right + 0.1 * wrong + 0.05 * (chosen + rejected) ** 2))
        counts.append(pair.weight)
    expected = torch.stack(terms).sum() / sum(counts)
    assert sum(counts) == 17
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
    gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    torch.testing.assert_close(found, gradient, atol=1e-11, rtol=0)
    assert gradient.abs().max() > 0.1


@pytest.mark.parametrize("centering", [None, 0.01])
@pytest.mark.parametrize("margins", [False, True])
def test_the_loss_is_that_of_trl(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], margins: bool, centering: float | None
) -> None:
    """TRL's loss function on the batch that its collator makes; it has margins of all pairs or of none."""
    data = [pair.model_copy(update={"margin": i / 8 - 1}) for i, pair in enumerate(pairs)] if margins else pairs
    model = classifier(tiny_model)
    trainer = stages.reward(model, data, center_rewards_coefficient=centering)
    loss = trainer.executor.train(trainer.stage, model, list(trainer.train_dataset)).loss
    found = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    model.zero_grad()

    tokenizer = trainer.processing_class
    examples: list[dict[str, Any]] = [
        {f"{side}_ids": rendered(tokenizer, pair, side) for side in ("chosen", "rejected")}
        | ({"margin": pair.margin} if margins else {})
        for pair in data
    ]
    batch = reward_trainer.DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id)(examples)
    theirs = loss_of_trl(model, batch, centering)
    theirs.backward()
    assert loss.item() == pytest.approx(theirs.item(), abs=1e-12)
    gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    torch.testing.assert_close(found, gradient, atol=1e-11, rtol=0)


def loss_of_trl(model: PreTrainedModel, batch: dict[str, Tensor], centering: float | None) -> Tensor:
    names = ("num_tokens", "min_reward", "mean_reward", "max_reward", "accuracy", "margin")
    trainer = SimpleNamespace(
        model=model,
        args=SimpleNamespace(center_rewards_coefficient=centering),
        accelerator=Accelerator(cpu=True),
        _metrics={mode: {name: [] for name in names} for mode in ("train", "eval")},
        _total_train_tokens=0,
        _tp_size=1,
    )
    found: Tensor = reward_trainer.RewardTrainer.compute_loss(trainer, model, batch)
    return found


def test_updates_do_not_depend_on_the_cut(stages: Any, tiny_model: ModelFactory, weighed: list[PreferencePair]) -> None:
    """Two AdamW steps over sixteen shuffled pairs in float64: exact but for the order of sums."""
    runs = [stages.reward(tiny_model("gpt2"), weighed, **SETTINGS | cut) for cut in [{}, *CUTS]]
    for trainer in runs:
        trainer.train()
    assert len(losses(runs[0])) == 2
    for other in runs[1:]:
        assert losses(other) == pytest.approx(losses(runs[0]), abs=1e-6)  # logged in float32
        torch.testing.assert_close(weights(other.model), weights(runs[0].model), atol=1e-9, rtol=0)


def test_pairs_of_a_dialogue_stay_together(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]) -> None:
    data = [pair.model_copy(update={"dialogue_id": str(i % 4)}) for i, pair in enumerate(pairs)]
    trainer = stages.reward(tiny_model(), data, group_by="dialogue", per_device_train_batch_size=4)
    steps = list(trainer.get_train_dataloader().batch_sampler)
    assert sorted(tuple(i % 4 for i in step) for step in steps) == [(i, i, i, i) for i in range(4)]


def test_metrics_are_means_over_pairs(stages: Any, tiny_model: ModelFactory, weighed: list[PreferencePair]) -> None:
    """Every pair counts as one in them, whatever its weight is in the loss."""
    seen: list[EvalPrediction] = []

    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        seen.append(prediction)
        return {"own": 7.0}

    model = classifier(tiny_model)
    given = {"eval_dataset": weighed, "compute_metrics": metrics}
    trainer = stages.reward(model, weighed, given=given, per_device_eval_batch_size=5)
    found = trainer.evaluate()
    expected = plain_scores(model, trainer.processing_class, weighed).detach()
    chosen, rejected = expected.T
    assert {name: found[f"eval_{name}"] for name in ("own", *trainer.stage.metrics)} == pytest.approx(
        {
            "own": 7.0,
            "rewards/chosen": chosen.mean().item(),
            "rewards/rejected": rejected.mean().item(),
            "rewards/accuracies": (chosen > rejected).double().mean().item(),
            "rewards/margins": (chosen - rejected).mean().item(),
        }
    )
    assert torch.allclose(torch.from_numpy(seen[0].predictions), expected)
    assert seen[0].label_ids.tolist() == [0] * 16


def test_a_reward_is_learnt(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]) -> None:
    trainer = stages.reward(tiny_model("gpt2"), pairs, num_train_epochs=40, per_device_train_batch_size=16)
    trainer.train()
    assert losses(trainer)[0] == pytest.approx(0.69, abs=0.1)
    assert losses(trainer)[-1] < 0.2
    assert trainer.state.log_history[-2]["rewards/accuracies"] == 1


def test_a_saved_model_loads_and_scores_the_same(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    trainer = stages.reward(classifier(tiny_model, dtype=torch.float32), pairs)
    trainer.train()
    trainer.save_model()
    tokenizer = AutoTokenizer.from_pretrained(stages.folder)
    expected = scores_in_a_step(trainer)
    for loaded in (
        AutoModelForSequenceClassification.from_pretrained(stages.folder),
        load_reward_model(str(stages.folder)),
    ):
        assert (loaded.config.num_labels, loaded.config.pad_token_id) == (1, tokenizer.pad_token_id)
        torch.testing.assert_close(plain_scores(loaded, tokenizer, pairs).detach(), expected, atol=1e-5, rtol=0)
    written = yaml.safe_load((stages.folder / "config.yaml").read_text())
    assert (written["margin"], written["label_smoothing"]) == (0.0, 0.0)
    card = (stages.folder / "README.md").read_text()
    assert "pipeline_tag: text-classification\n" in card
    assert 'model = AutoModelForSequenceClassification.from_pretrained("path/to/this/folder")\n' in card
    report = json.loads((stages.folder / "data_report.json").read_text())["splits"]["train"]
    assert (report["read"], report["kept"]) == (16, 16)
    first = json.loads((stages.folder / "metrics.jsonl").read_text().splitlines()[0])
    assert {"loss", "rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins"} <= set(first)


@pytest.fixture
def base(tiny_model: ModelFactory, tmp_path: Path) -> str:
    tiny_model(dtype=torch.float32).save_pretrained(tmp_path / "base")
    return str(tmp_path / "base")


def loaded_by_the_card(folder: Path) -> Any:
    """The model as the card of the run loads it."""
    code = (folder / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(code.replace("path/to/this/folder", str(folder)), names)
    return names["model"]


@PEFT_WARNS
def test_a_saved_adapter_loads_with_its_head(stages: Any, base: str, pairs: list[PreferencePair]) -> None:
    """The task that a script gives its adapter is that of a language model, or none."""
    trainer = stages.reward(load_model(base), pairs, given={"peft_config": ADAPTER})
    trainer.train()
    trainer.save_model()
    assert type(loaded_by_the_card(stages.folder)).__name__ == "PeftModelForSequenceClassification"
    settings = json.loads((stages.folder / "adapter_config.json").read_text())
    assert (settings["task_type"], settings["base_model_name_or_path"]) == ("SEQ_CLS", base)
    assert "score" in settings["modules_to_save"]
    tokenizer = AutoTokenizer.from_pretrained(stages.folder)
    expected = scores_in_a_step(trainer)
    for loaded in (
        loaded_by_the_card(stages.folder).eval(),
        AutoPeftModelForSequenceClassification.from_pretrained(stages.folder, num_labels=1).eval(),
        load_reward_model(str(stages.folder)),
    ):
        torch.testing.assert_close(plain_scores(loaded, tokenizer, pairs).detach(), expected, atol=1e-5, rtol=0)
    assert load_reward_model(str(stages.folder)).config.pad_token_id == tokenizer.pad_token_id


@PEFT_WARNS
def test_an_adapter_and_its_head_are_what_moves(stages: Any, base: str, pairs: list[PreferencePair]) -> None:
    trainer = stages.reward(load_model(base), pairs, given={"peft_config": LoraConfig(target_modules=["q_proj"])})
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}
    assert {name.split(".")[-3] for name in moved} == {"lora_B", "lora_A", "modules_to_save"}
    assert "base_model.model.score.modules_to_save.default.weight" in moved


@PEFT_WARNS
@pytest.mark.parametrize("again", [None, ADAPTER])
def test_a_language_model_with_an_adapter_is_merged(
    stages: Any, base: str, dialogues: list[Dialogue], pairs: list[PreferencePair], tmp_path: Path, again: Any
) -> None:
    """What SFT left gets a head over its weights with the adapter in; a new adapter has them below it in `base`."""
    first = stages.sft(load_model(base), dialogues, given={"peft_config": ADAPTER})
    first.train()
    first.save_model()
    hidden = first.model.get_base_model().model(torch.tensor([[5, 6, 7]])).last_hidden_state
    folder = tmp_path / "reward"
    trainer = stages.reward(str(stages.folder), pairs, given={"peft_config": again}, output_dir=str(folder))
    layers = trainer.model.get_base_model().model if again else trainer.model.model
    if again is None:
        torch.testing.assert_close(layers(torch.tensor([[5, 6, 7]])).last_hidden_state, hidden, atol=1e-5, rtol=0)
    trainer.train()
    trainer.save_model()
    loaded = load_reward_model(str(folder))
    found = plain_scores(loaded, trainer.processing_class, pairs).detach()
    torch.testing.assert_close(found, scores_in_a_step(trainer), atol=1e-5, rtol=0)
    assert yaml.safe_load((folder / "config.yaml").read_text())["model"] == str(stages.folder)


@PEFT_WARNS
@pytest.mark.parametrize("peft_config", [None, ADAPTER])
def test_a_reward_model_is_trained_on_by_its_name(
    stages: Any, base: str, pairs: list[PreferencePair], tmp_path: Path, peft_config: Any
) -> None:
    first = stages.reward(base, pairs, given={"peft_config": peft_config})
    first.save_model()
    second = stages.reward(str(stages.folder), pairs, output_dir=str(tmp_path / "again"))
    torch.testing.assert_close(scores_in_a_step(second), scores_in_a_step(first), atol=1e-6, rtol=0)
    second.train()
    assert (scores_in_a_step(second) - scores_in_a_step(first)).abs().max() > 1e-3


def test_a_model_that_another_stage_trained_goes_on_in_memory(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], pairs: list[PreferencePair], tmp_path: Path
) -> None:
    first = stages.sft(tiny_model(), dialogues)
    first.train()
    second = stages.reward(first.model, pairs, output_dir=str(tmp_path / "reward"))
    second.train()
    assert second.executor.shared


def test_the_head_is_drawn_by_the_seed(stages: Any, base: str, pairs: list[PreferencePair]) -> None:
    heads = [stages.reward(base, pairs, seed=seed).model.score.weight for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert heads[0].std().item() == pytest.approx(0.2, rel=0.5)  # the model's initializer_range


def test_a_resumed_run_is_the_uninterrupted_one(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    settings = {"num_train_epochs": 2, "per_device_train_batch_size": 6, "lr_scheduler_type": "linear"}
    whole = stages.reward(tiny_model("gpt2"), pairs, **settings)
    whole.train()
    stages.reward(tiny_model("gpt2"), pairs, **settings, save_strategy="steps", save_steps=4).train()
    resumed = stages.reward(tiny_model("gpt2"), pairs, **settings)
    resumed.train(resume_from_checkpoint=str(stages.folder / "checkpoint-4"))
    torch.testing.assert_close(weights(resumed.model), weights(whole.model), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"label_smoothing": 0.5}, "label_smoothing: must lie in [0, 0.5) (got 0.5); use 0.1 for noisy labels"),
        ({"margin": float("nan")}, "margin: must be a finite number (got nan); leave it out for 0"),
        (
            {"center_rewards_coefficient": -1.0},
            "center_rewards_coefficient: must be a number from 0 (got -1.0); 0.01 is usual",
        ),
        ({"token_metrics": True}, "token_metrics: a reward is one number of a sequence (got True); leave it out"),
        ({"group_by": "turn"}, "group_by: must be one of none, dialogue (got 'turn'); the default is none"),
        (
            {"eos_token": "</s>"},
            "eos_token: is not supported (got '</s>'); set it on the tokenizer and hand that over as processing_class",
        ),
    ],
)
def test_settings_that_cannot_be_honoured(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        RewardConfig(**settings)
    assert str(error.value) == f"RewardConfig: {line}"


def test_a_stream_has_no_groups() -> None:
    with pytest.raises(ConfigError, match=r"group_by: a stream keeps the order in which it comes \(got 'dialogue'\)"):
        RewardConfig(group_by="dialogue", max_steps=1).check_stream()


def test_models_that_give_no_reward(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    several = classifier(tiny_model)
    several.config.num_labels = 2
    with pytest.raises(ConfigError, match=r"^RewardTrainer: model: gives 2 scores of a sequence, and a reward model"):
        stages.reward(several, pairs)
    with pytest.raises(ConfigError, match=r"no sequence classifier for LlavaForConditionalGeneration; take a language"):
        stages.reward(llava().model, pairs)
    quantised = tiny_model()
    quantised.is_quantized = True
    with pytest.raises(ConfigError, match=r"^model: a reward head is not put over quantised weights here; load it"):
        stages.reward(quantised, pairs)
    with pytest.raises(ConfigError, match=r"^RewardTrainer: data_collator: would not be called"):
        stages.reward(tiny_model(), pairs, given={"data_collator": list})


def test_a_reward_model_is_no_language_model(stages: Any, base: str, pairs: list[PreferencePair]) -> None:
    stages.reward(base, pairs).save_model()
    with pytest.raises(CheckpointError) as error:
        load_model(str(stages.folder))
    assert str(error.value) == (
        f"model {stages.folder}: is a reward model, which writes nothing; name a language model, or score with it:"
        f" turnpoint evaluate reward {stages.folder} DATA"
    )
    with pytest.raises(CheckpointError) as error:
        load_reward_model(base)
    assert str(error.value) == (f"model {base}: is no reward model; name one, or train it with `turnpoint reward`")
