"""A reply shown while it is written: the reply that is written at once, piece by piece, calls left out."""

from typing import Any

import pytest
import torch
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.sampling.handmade_models import chain_model, scripted
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.dialogue import ToolCall
from turnpoint.errors import ConfigError
from turnpoint.sampling import Said, Sampling, generate_replies, stream_reply

GREEDY = Sampling(max_new_tokens=24, temperature=0.0)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def streamed(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompt: list[int],
    sampling: Sampling = GREEDY,
    **settings: Any,
) -> tuple[Said, list[str]]:
    """The reply, and the pieces that were shown."""
    pieces: list[str] = []
    seed = settings.pop("seed", 0)
    return stream_reply(model, tokenizer, prompt, sampling, seed=seed, show=pieces.append, **settings), pieces


def said_in(*pieces: str) -> tuple[Said, list[str]]:
    """What a model says that writes these texts, each as one token."""
    tokenizer = make_tokenizer()
    return streamed(scripted(tokenizer, *pieces), tokenizer, [1])


def test_the_greedy_reply_is_that_of_a_batch(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    for prompt in ([5, 6, 7], [40], [9] * 30):
        [reply] = generate_replies(model, tokenizer, [prompt], max_new_tokens=24)
        said, pieces = streamed(model, tokenizer, prompt)
        assert (said.content, said.cut, said.tokens) == (reply.text, True, 24)
        assert "".join(pieces) == said.content


def test_pieces_come_token_by_token(tokenizer: PreTrainedTokenizerFast) -> None:
    words = tokenizer("It is sunny.")["input_ids"]
    said, pieces = streamed(chain_model(tokenizer, words), tokenizer, [1])
    assert said == Said("It is sunny.", (), False, len(words) + 1)
    assert "".join(pieces) == "It is sunny."
    assert sum(map(bool, pieces)) > 1
    assert len(pieces) == len(words) + 2  # one for each token, the end too, and the last


def test_a_call_is_not_shown_and_what_is_around_it_is() -> None:
    call = ' {"name": "weather", "arguments": {"city": "Rome"}}'
    said, pieces = said_in("I will", " look.\n<tool", "_call>", call, "</tool_call>", "\nDone.")
    assert said.calls == (ToolCall(name="weather", arguments={"city": "Rome"}),)
    assert said.content == "I will look.\n\nDone."
    assert [piece for piece in pieces if piece] == ["I will", " look.", "\n\nDone."]


def test_what_only_looked_like_a_call_is_shown_late() -> None:
    said, pieces = said_in("One <to", "p> and <", "tool_call>{", "oops")
    assert said == Said("One <top> and <tool_call>{oops", (), False, 5)
    assert [piece for piece in pieces if piece] == ["One", " <top> and", " <tool_call>{oops"]


def test_half_a_character_is_not_shown(tokenizer: PreTrainedTokenizerFast) -> None:
    euro = [tokenizer.convert_tokens_to_ids(token) for token in ("â", "Ĥ", "¬")]
    model = chain_model(tokenizer, [*tokenizer("is a")["input_ids"], *euro])
    said, pieces = streamed(model, tokenizer, [1])
    assert said.content == "is a€"
    assert not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) == "is a€"


@pytest.mark.parametrize(
    ("stop", "content"), [("sun", "It is"), ("is s", "It"), ("rain", "It is sunny."), ("It", None)]
)
def test_a_stop_text_ends_the_reply(tokenizer: PreTrainedTokenizerFast, stop: str, content: str | None) -> None:
    said, pieces = streamed(chain_model(tokenizer, tokenizer("It is sunny.")["input_ids"]), tokenizer, [1], stop=[stop])
    assert (said.content, said.cut) == (content, False)
    assert "".join(pieces) == (content or "")


def test_a_marker_of_several_tokens_ends_the_reply_at_once() -> None:
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}(so){% endfor %}[assistant]"
    tokenizer = make_tokenizer(template)
    words = tokenizer("It is sunny.(so)[user]")["input_ids"]
    model = chain_model(tokenizer, words)
    said, pieces = streamed(model, tokenizer, [1])
    assert (said.content, said.cut) == ("It is sunny.", False)
    assert "".join(pieces) == "It is sunny."
    assert said.tokens < len(words)


def test_a_reply_ends_when_it_is_stopped(tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel) -> None:
    answers = iter([False, False, True])
    said, _ = streamed(model, tokenizer, [5], stopped=lambda: next(answers))
    assert said.tokens == 3


def test_draws_are_repeated_by_their_seed_and_the_random_state_is_left(
    tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel
) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    drawn = [streamed(model, tokenizer, [5], Sampling(max_new_tokens=8), seed=seed)[0] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.equal(torch.get_rng_state(), before)
    nucleus = Sampling(max_new_tokens=8, top_p=1e-6)  # of which the likeliest token is all
    greedy = Sampling(max_new_tokens=8, temperature=0.0)
    assert streamed(model, tokenizer, [5], nucleus)[0] == streamed(model, tokenizer, [5], greedy)[0]


def test_settings_out_of_range(tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel) -> None:
    with pytest.raises(ConfigError, match=r"^top_p: must be in \(0, 1\] \(got 0.0\)$"):
        streamed(model, tokenizer, [5], Sampling(top_p=0.0))
