"""A tokenizer trained here, tiny random models, and a few dialogues and pairs."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from turnpoint.dialogue import Dialogue, Message, PreferencePair
from turnpoint.training import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = [
    "ask",
    "call",
    "book",
    "a",
    "table",
    "for",
    "two",
    "four",
    "at",
    "noon",
    "which",
    "city",
    "sorry",
    "no",
    "tool",
]

ModelFactory = Callable[..., PreTrainedModel]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([" ".join(WORDS), "user assistant system tool"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=CHATML
    )


@pytest.fixture(scope="session")
def tiny_model() -> ModelFactory:
    """(kind, dtype, seed) -> a random model; the same weights for the same arguments."""

    def make(kind: str = "llama", dtype: torch.dtype = torch.float64, seed: int = 0) -> PreTrainedModel:
        torch.manual_seed(seed)
        if kind == "gpt2":
            model = GPT2LMHeadModel(GPT2Config(vocab_size=320, n_positions=256, n_embd=16, n_layer=2, n_head=2))
        else:
            config = LlamaConfig(
                vocab_size=320,
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                max_position_embeddings=512,
                initializer_range=0.2,
            )
            model = LlamaForCausalLM(config)
        return model.to(dtype).eval()

    return make


def said(role: str, i: int, words: int) -> Message:
    """A message whose words depend on `i`."""
    return Message.model_validate(
        {"role": role, "content": " ".join(WORDS[(i + 3 * k) % len(WORDS)] for k in range(words))}
    )


@pytest.fixture(scope="session")
def pairs() -> list[PreferencePair]:
    """Sixteen pairs: prompts with and without turns, sides of one and of two turns, lengths that differ."""
    made = []
    for i in range(16):
        prompt = [said("user", i // 4, 3)]
        if i % 2:
            prompt += [said("assistant", i, 2), said("user", i + 1, 2)]
        chosen = [said("assistant", i + 2, 1 + i % 3)]
        rejected = [said("assistant", i + 5, 2)]
        if i % 3 == 0:
            rejected += [said("user", i, 1), said("assistant", i + 7, 1 + i % 2)]
        if i % 4 == 1:
            chosen += [said("user", i, 2), said("assistant", i + 3, 2)]
        made.append(
            PreferencePair(
                prompt=tuple(prompt), chosen=tuple(chosen), rejected=tuple(rejected), id=str(i), source=f"pairs:{i}"
            )
        )
    return made


@pytest.fixture(scope="session")
def swapped(pairs: list[PreferencePair]) -> list[PreferencePair]:
    """The same pairs with the other side chosen: training on `pairs` makes the loss on them rise."""
    return [pair.model_copy(update={"chosen": pair.rejected, "rejected": pair.chosen}) for pair in pairs]


@pytest.fixture(scope="session")
def dialogues(pairs: list[PreferencePair]) -> list[Dialogue]:
    return [pair.side("chosen") for pair in pairs]


BEST_LOSS: dict[str, Any] = {
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "load_best_model_at_end": True,
    "metric_for_best_model": "eval_loss",
    "greater_is_better": False,
}


class Stages:
    """Makes trainers whose settings suit a test: short, logging every step, saving nothing."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
        self.folder = folder
        self.tokenizer = tokenizer

    def settings(self, **settings: Any) -> dict[str, Any]:
        defaults: dict[str, Any] = {
            "output_dir": str(self.folder),
            "learning_rate": 1e-2,
            "per_device_train_batch_size": 8,
            "logging_steps": 1,
            "save_strategy": "no",
            "lr_scheduler_type": "constant",
        }
        return defaults | settings

    def dpo(self, model: Any, data: Any, *, given: dict[str, Any] | None = None, **settings: Any) -> DPOTrainer:
        """`given` goes to the trainer, the rest to its settings."""
        args = DPOConfig(**self.settings(beta=0.5) | settings)
        options = {"train_dataset": data, "processing_class": self.tokenizer} | (given or {})
        return DPOTrainer(model, args=args, **options)

    def reward(self, model: Any, data: Any, *, given: dict[str, Any] | None = None, **settings: Any) -> RewardTrainer:
        """`given` goes to the trainer, the rest to its settings."""
        options = {"train_dataset": data, "processing_class": copy.deepcopy(self.tokenizer)} | (given or {})
        return RewardTrainer(model, args=RewardConfig(**self.settings(**settings)), **options)

    def sft(self, model: Any, data: Any, *, given: dict[str, Any] | None = None, **settings: Any) -> SFTTrainer:
        """`given` goes to the trainer, the rest to its settings."""
        options = {"train_dataset": data, "processing_class": self.tokenizer} | (given or {})
        return SFTTrainer(model, args=SFTConfig(**self.settings(**settings)), **options)


@pytest.fixture
def stages(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Stages:
    return Stages(tmp_path / "run", tokenizer)
