"""Replies: the same whatever shares their batch, ended by any end token, repeatable, without a trace on the caller."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.sampling.handmade_models import chain_model
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from turnpoint.errors import ConfigError, TemplateError
from turnpoint.sampling import Reply, generate, generate_replies
from turnpoint.template import Renderer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


def llama(size: int) -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config)


def gpt2(size: int) -> PreTrainedModel:
    config = GPT2Config(vocab_size=size, n_positions=128, n_embd=32, n_layer=2, n_head=2, initializer_range=0.3)
    return GPT2LMHeadModel(config)


@pytest.fixture(scope="module", params=[llama, gpt2])
def model(request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Positions by rotation, and learned ones: padding must move neither."""
    make: Callable[[int], PreTrainedModel] = request.param
    torch.manual_seed(0)
    return make(len(tokenizer)).eval()


@pytest.fixture(scope="module")
def prompts(tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Seven of as many lengths, in no order."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, len(tokenizer), (n,), generator=generator).tolist() for n in (5, 17, 1, 9, 30, 2, 12)]


def texts(*args: Any, **settings: Any) -> list[str]:
    """Of the replies."""
    return [reply.text for reply in generate_replies(*args, **settings)]


def test_a_batch_gives_what_each_prompt_gives_alone(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: list[list[int]]
) -> None:
    together = texts(model, tokenizer, prompts, max_new_tokens=12)
    alone = [texts(model, tokenizer, [prompt], max_new_tokens=12)[0] for prompt in prompts]
    assert together == alone
    assert len(set(together)) > 1
    assert texts(model, tokenizer, prompts[::-1], max_new_tokens=12) == together[::-1]


def test_greedy_replies_are_the_likeliest_tokens_one_after_the_other(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: list[list[int]]
) -> None:
    [reply] = texts(model, tokenizer, prompts[:1], max_new_tokens=6)
    ids = list(prompts[0])
    with torch.no_grad():
        for _ in range(6):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    assert tokenizer.eos_token_id not in ids[5:]
    assert reply == tokenizer.decode(ids[5:]).strip()


def test_sampling_is_repeated_by_its_seed(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: list[list[int]]
) -> None:
    def sample(seed: int, temperature: float = 1.0) -> list[str]:
        return texts(model, tokenizer, prompts, max_new_tokens=8, temperature=temperature, seed=seed)

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert sample(1, temperature=0.0) == sample(2, temperature=0.0)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_and_the_random_state_are_left_as_they_were(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, training: bool
) -> None:
    model.train(training)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    generate_replies(model, tokenizer, [[5, 6]], max_new_tokens=2, temperature=1.0)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training is training
    with pytest.raises(IndexError):  # a token that the model does not have
        generate_replies(model, tokenizer, [[10**6]], max_new_tokens=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training is training
    model.eval()


def test_a_reply_stops_at_the_end_of_turn(tokenizer: PreTrainedTokenizerFast) -> None:
    words = tokenizer("It is sunny.")["input_ids"]
    assert len(set(words)) == len(words)  # a chain passes each token once
    assert texts(chain_model(tokenizer, words), tokenizer, [[1], [1, 5]]) == ["It is sunny."] * 2


def test_a_reply_that_reaches_the_most_tokens_is_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    words = tokenizer("It is sunny.")["input_ids"]
    model = chain_model(tokenizer, words)
    assert generate_replies(model, tokenizer, [[1]], max_new_tokens=len(words) + 1) == [
        Reply("It is sunny.", cut=False)
    ]
    assert generate_replies(model, tokenizer, [[1]], max_new_tokens=len(words)) == [Reply("It is sunny.", cut=True)]


def test_end_tokens_of_the_model_and_of_the_tokenizer_count(tokenizer: PreTrainedTokenizerFast) -> None:
    words = tokenizer("It is sunny.")["input_ids"]
    model = chain_model(tokenizer, words)
    end = words[len(tokenizer("It is")["input_ids"])]
    model.generation_config.eos_token_id = [end, words[-1]]
    assert texts(model, tokenizer, [[1]]) == ["It is"]
    model.generation_config.eos_token_id = None
    assert texts(model, tokenizer, [[1]]) == ["It is sunny."]


def without_end(eos: str | None) -> PreTrainedTokenizerFast:
    """A tokenizer whose EOS is not the end of its template's turns."""
    made = make_tokenizer()
    made.eos_token = eos
    return made


def writing(tokenizer: PreTrainedTokenizerFast, text: str) -> PreTrainedModel:
    """Writes the text, each token of which stands in it once, and never EOS after it."""
    words = tokenizer(text)["input_ids"]
    assert len(set(words)) == len(words)
    end = make_tokenizer().eos_token_id
    closed = make_tokenizer()
    closed.eos_token_id = words[0] if end in words else end
    return chain_model(closed, words)


@pytest.mark.parametrize("eos", ["<|endoftext|>", None])
def test_a_reply_ends_where_the_template_ends_turns(eos: str | None) -> None:
    tokenizer = without_end(eos)
    model = writing(tokenizer, "It is sunny.<|im_end|>user")
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    assert texts(model, tokenizer, [[1], [1, 5]], max_new_tokens=12) == ["It is sunny."] * 2
    tokenizer.chat_template = None
    if eos:
        [on] = texts(model, tokenizer, [[1]], max_new_tokens=12)
        assert on.startswith("It is sunny.<|im_end|>user")


def test_a_marker_of_several_tokens_ends_a_reply() -> None:
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}(so){% endfor %}[assistant]"
    tokenizer = make_tokenizer(template)
    assert len(tokenizer("(so)")["input_ids"]) > 1
    model = writing(tokenizer, "It is sunny.(so)[user]")
    assert generate_replies(model, tokenizer, [[1]], max_new_tokens=24) == [Reply("It is sunny.", cut=False)]


def test_markers_beside_the_eos_end_parts_of_a_turn_only() -> None:
    """As in gpt-oss: the last turn ends in <|im_end|>, the EOS, and earlier ones in <|endoftext|>."""
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{{ '<|im_end|>' if loop.last and m.role == 'assistant' else '<|endoftext|>' }}{% endfor %}"
        "{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
    )
    tokenizer = make_tokenizer(template)
    assert set(Renderer(tokenizer).turn_ends) == {"<|im_end|>", "<|endoftext|>"}
    model = chain_model(tokenizer, tokenizer("It is<|endoftext|>sunny.")["input_ids"])
    assert texts(model, tokenizer, [[1]]) == ["It is<|endoftext|>sunny."]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens: must be at least 1 token (got 0)"),
        ({"temperature": -1.0}, "temperature: must be 0 (greedy) or a positive number (got -1.0)"),
        ({"temperature": float("nan")}, "temperature: must be 0 (greedy) or a positive number (got nan)"),
        ({"temperature": float("inf")}, "temperature: must be 0 (greedy) or a positive number (got inf)"),
    ],
)
def test_settings_out_of_range(tokenizer: PreTrainedTokenizerFast, settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        generate_replies(chain_model(tokenizer, [5]), tokenizer, [[1]], **settings)
    assert str(error.value) == line


def test_special_tokens_inside_a_reply_are_kept(tokenizer: PreTrainedTokenizerFast) -> None:
    model = chain_model(tokenizer, [tokenizer.pad_token_id, *tokenizer("sunny")["input_ids"]])
    assert texts(model, tokenizer, [[1]]) == ["<|endoftext|>sunny"]


def test_batches_hold_prompts_of_similar_length_under_the_token_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "_BATCH_TOKENS", 20)
    prompts = [[0] * n for n in (3, 10, 30, 9, 4)]
    # 30 alone is over the budget; 2 × 10 and 2 × 4 are within it; 3 × 10 would not be.
    assert generate._batches(prompts) == [[2], [1, 3], [4, 0]]
    assert generate._batches([]) == []


def test_no_prompts_no_replies(tokenizer: PreTrainedTokenizerFast) -> None:
    assert texts(chain_model(tokenizer, [5]), tokenizer, []) == []


def test_a_model_without_an_end_token_is_refused() -> None:
    tokenizer = make_tokenizer()
    model = chain_model(tokenizer, [5])
    model.generation_config.eos_token_id = None
    tokenizer.eos_token = None
    tokenizer.chat_template = None
    with pytest.raises(TemplateError, match="has no end-of-turn token; set its eos_token"):
        generate_replies(model, tokenizer, [[1]])
