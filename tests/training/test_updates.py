"""An optimiser step is one update, however it is cut: into rows, by accumulation, with the tree or without.

Exact comparisons are made on GPT-2 in float64; Llama computes norms and rotary tables in float32 whatever the dtype.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from accelerate.utils import is_compiled_module
from peft import LoraConfig
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from turnpoint.dialogue import Dialogue, PreferencePair
from turnpoint.template import Renderer, Turn
from turnpoint.template.spans import TokenIds
from turnpoint.training import DPOTrainer
from turnpoint.training import trainer as trainer_module

ModelFactory = Callable[..., PreTrainedModel]

CUTS: list[dict[str, Any]] = [
    {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
    {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
    {"max_tokens_per_row": 60},
    {"max_tokens_per_row": 100_000},
]


def weights(model: PreTrainedModel) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("settings", [{"reduction": "sum"}, {"reduction": "diatool", "turns_from": "dialogue"}])
def test_dpo_updates_do_not_depend_on_the_cut(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], settings: dict[str, Any]
) -> None:
    """Two AdamW steps over sixteen shuffled pairs in float64: exact but for the order of sums."""
    runs = [stages.dpo(tiny_model("gpt2"), pairs, **settings | cut) for cut in [{}, *CUTS]]
    for trainer in runs:
        trainer.train()
    assert len(losses(runs[0])) == 2
    for other in runs[1:]:
        assert losses(other) == pytest.approx(losses(runs[0]), abs=1e-6)  # logged in float32
        torch.testing.assert_close(weights(other.model), weights(runs[0].model), atol=1e-9, rtol=0)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_dpo_updates_do_not_depend_on_the_cut_in_float32(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], kind: str
) -> None:
    """Two steps of gradient descent; AdamW would make a whole step of the sign of a rounding error."""
    results = []
    for cut in [{}, *CUTS]:
        trainer = stages.dpo(tiny_model(kind, torch.float32), pairs, optim="sgd", learning_rate=0.1, **cut)
        trainer.train()
        results.append(weights(trainer.model))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], atol=1e-6, rtol=0)
    assert (results[0] - weights(tiny_model(kind, torch.float32))).abs().max() > 1e-3


def test_sft_updates_do_not_depend_on_the_cut(stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue]) -> None:
    runs = [stages.sft(tiny_model("gpt2"), dialogues, **cut) for cut in [{}, *CUTS]]
    for trainer in runs:
        trainer.train()
    for other in runs[1:]:
        assert losses(other) == pytest.approx(losses(runs[0]), abs=1e-6)  # logged in float32
        torch.testing.assert_close(weights(other.model), weights(runs[0].model), atol=1e-9, rtol=0)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("how", [{}, {"every_n_layers": 2}])
def test_activations_made_anew_change_no_update(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], kind: str, how: dict[str, Any]
) -> None:
    runs, passes = [], []
    for settings in ({}, {"activation_checkpointing": True, "activation_checkpointing_kwargs": how}):
        model = tiny_model(kind)
        trainer = stages.dpo(model, pairs, given={"ref_model": tiny_model(kind, seed=1)}, **settings)
        layer = model.model.layers[0] if kind == "llama" else model.transformer.h[0]
        started: list[nn.Module] = []
        layer.mlp.register_forward_pre_hook(lambda module, inputs, started=started: started.append(module))
        trainer.train()
        runs.append(trainer)
        passes.append(len(started))
    assert losses(runs[1]) == pytest.approx(losses(runs[0]), abs=1e-6)  # logged in float32
    torch.testing.assert_close(weights(runs[1].model), weights(runs[0].model), atol=1e-9, rtol=0)
    assert passes[1] > passes[0]  # what a layer holds is made anew in the backward pass


def test_rows_on_cpu_are_full_early_unless_the_budget_is_set(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    by_default, as_set = stages.dpo(tiny_model(), pairs), stages.dpo(tiny_model(), pairs, max_tokens_per_row=600)
    found = [(each.executor.max_tokens_per_row, each.executor.full_at) for each in (by_default, as_set)]
    assert found == [(1536, 512), (600, None)]


def test_sequences_by_themselves_run_the_longest_first(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]
) -> None:
    trainer = stages.dpo(tiny_model(), pairs)
    trainer.executor.shared = False
    items = trainer.train_dataset
    rows = trainer.executor._rows(trainer.stage, items)
    lengths = [max(len(each.input_ids) for each in trainer.stage.sequences(items[i])) for [i] in rows]
    assert sorted(i for [i] in rows) == list(range(len(items)))
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) > 1


def test_compilation_changes_no_update(
    stages: Any,
    tiny_model: ModelFactory,
    pairs: list[PreferencePair],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By a backend that only traces: graphs, guards and shapes that change are those of every backend."""
    caplog.set_level("INFO", logger="turnpoint")
    runs = [stages.dpo(tiny_model(), pairs)]
    runs[0].train()
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "no")  # the settings name another for the whole process
    runs.append(stages.dpo(tiny_model(), pairs, torch_compile=True, torch_compile_backend="aot_eager"))
    runs[1].train()
    torch._dynamo.reset()
    assert is_compiled_module(runs[1].model_wrapped)
    assert (runs[0].executor.chunked, runs[1].executor.chunked) == (True, False)
    assert [line for line in caplog.messages if line.startswith("the model is compiled: logits of a row are made at")]
    assert losses(runs[1]) == pytest.approx(losses(runs[0]), abs=1e-6)
    torch.testing.assert_close(weights(runs[1].model), weights(runs[0].model), atol=1e-9, rtol=0)


def test_device_memory_is_returned_as_often_as_asked(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight steps; the count starts at step 0, as in transformers."""
    cleared: list[int] = []
    trainer = stages.sft(tiny_model(), dialogues, per_device_train_batch_size=2, torch_empty_cache_steps=3)
    monkeypatch.setattr(trainer_module, "clear_device_cache", lambda: cleared.append(trainer.state.global_step))
    trainer.train()
    assert cleared == [0, 3, 6]


def test_without_the_tree_the_update_is_the_same(
    stages: Any,
    tiny_model: ModelFactory,
    pairs: list[PreferencePair],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = stages.dpo(tiny_model("gpt2"), pairs)
    shared.train()
    monkeypatch.setattr(DPOTrainer, "_probe_sharing", lambda self, items: False)
    plain = stages.dpo(tiny_model("gpt2"), pairs)
    plain.train()
    assert (shared.executor.shared, plain.executor.shared) == (True, False)
    torch.testing.assert_close(weights(plain.model), weights(shared.model), atol=1e-9, rtol=0)


def scored_tokens(turns: Sequence[Turn]) -> list[int]:
    return [i for turn in turns for i in range(turn.start, turn.end)]


def plain_logps(model: PreTrainedModel, ids: TokenIds, turns: Sequence[Turn]) -> Tensor:
    """Log-probs of the tokens of the turns from the logits of one whole sequence."""
    logps = functional.log_softmax(model(input_ids=torch.tensor([list(ids)])).logits[0], -1)
    return torch.stack([logps[i - 1, ids[i]] for i in scored_tokens(turns)])


def one_step(model: PreTrainedModel, loss: Tensor, rate: float) -> Tensor:
    """Weights after one step of gradient descent."""
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    moved = [p - rate * g for p, g in zip(model.parameters(), gradients, strict=True)]
    return torch.cat([each.detach().flatten() for each in moved])


def test_a_step_is_dpo_written_out_plainly(stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair]) -> None:
    """Loss and one step against DPO (arXiv 2305.18290, eq. 7) in float64; the policy is not the reference."""
    policy, reference = tiny_model("gpt2", seed=1), tiny_model("gpt2", seed=0)
    terms = []
    for pair in pairs[:8]:
        tokenized = Renderer(stages.tokenizer).tokenize_pair(pair)
        ratios = []
        for ids, turns, *_ in (tokenized.chosen, tokenized.rejected):
            after_fork = turns[tokenized.shared_turns :]
            ratios.append(
                (plain_logps(policy, ids, after_fork) - plain_logps(reference, ids, after_fork).detach()).sum()
            )
        terms.append(-functional.logsigmoid(0.5 * (ratios[0] - ratios[1])))
    loss = torch.stack(terms).mean()
    expected = one_step(policy, loss, 0.1)

    trainer = stages.dpo(
        policy, pairs[:8], given={"ref_model": reference}, optim="sgd", learning_rate=0.1, max_grad_norm=0
    )
    trainer.train()
    assert losses(trainer) == [pytest.approx(loss.item(), abs=1e-6)]
    torch.testing.assert_close(weights(policy), expected, atol=1e-9, rtol=0)


def test_a_step_is_sft_written_out_plainly(stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue]) -> None:
    """The mean is over the scored tokens of all dialogues of the step, not a mean of means."""
    model = tiny_model("gpt2")
    rendered = [Renderer(stages.tokenizer).tokenize(dialogue) for dialogue in dialogues[:8]]
    loss = -torch.cat([plain_logps(model, each.input_ids, each.turns) for each in rendered]).mean()
    expected = one_step(model, loss, 0.1)

    trainer = stages.sft(model, dialogues[:8], optim="sgd", learning_rate=0.1, max_grad_norm=0)
    trainer.train()
    assert losses(trainer) == [pytest.approx(loss.item(), abs=1e-6)]
    torch.testing.assert_close(weights(model), expected, atol=1e-9, rtol=0)


def test_a_message_marked_so_is_not_trained_on(
    stages: Any, tiny_model: ModelFactory, dialogues: list[Dialogue]
) -> None:
    dialogue = dialogues[1]
    messages = list(dialogue.messages)
    first, last = dialogue.turns[0], dialogue.turns[-1]
    messages[first] = messages[first].model_copy(update={"train": False})
    trainer = stages.sft(tiny_model(), [dialogue.model_copy(update={"messages": tuple(messages)})])
    item = trainer.train_dataset[0]
    turns = Renderer(stages.tokenizer).tokenize(dialogue).turns
    assert [turn.message for turn in turns] == [first, *dialogue.turns[1:-1], last]
    assert item.scored.tolist() == scored_tokens(turns[1:])


def test_a_model_that_breaks_sharing_falls_back_and_says_so(
    stages: Any, pairs: list[PreferencePair], caplog: pytest.LogCaptureFixture
) -> None:
    """Dynamic rotary scaling depends on the length of the row."""
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0},
    )
    trainer = stages.dpo(LlamaForCausalLM(config), pairs[:8])
    trainer.train()
    assert not trainer.executor.shared
    assert "the token tree is off, every sequence runs by itself: rotary scaling 'dynamic' depends on" in caplog.text


@pytest.mark.parametrize("adapter", [False, True])
def test_activation_checkpointing_changes_no_update(
    stages: Any, tiny_model: ModelFactory, pairs: list[PreferencePair], adapter: bool
) -> None:
    results = []
    for checkpointing in (False, True):
        given = {"peft_config": LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True)} if adapter else {}
        trainer = stages.dpo(tiny_model("gpt2"), pairs, given=given, activation_checkpointing=checkpointing)
        trainer.train()
        assert trainer.accelerator.unwrap_model(trainer.model).is_activation_checkpointing == checkpointing
        results.append(weights(trainer.model))
        assert losses(trainer)[1] != pytest.approx(losses(trainer)[0], abs=1e-4)
    torch.testing.assert_close(results[1], results[0], atol=1e-9, rtol=0)
