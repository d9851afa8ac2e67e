"""Pairs and verbatim text."""

import pytest
from tests.template.builders import WEATHER, call, dialogue, pair, result, said, says, user
from tests.template.tiny_tokenizers import byte_level, fresh_tokenizer, tokenizer, with_visible_spaces
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase

from turnpoint.errors import TemplateError
from turnpoint.template import Renderer


def test_sides_of_several_turns_with_results_between() -> None:
    own = tokenizer("qwen2_5")
    both = Renderer(own).tokenize_pair(
        pair(
            [user("Hi"), says("Hello."), user("Rome?")],
            [call(city="Rome"), result("sunny"), says("Sunny.")],
            [says("Which city do you mean?"), user("Rome!"), says("Rain.", train=False)],
            tools=(WEATHER,),
            id="p",
            dialogue_id="d",
        )
    )
    ending = "<|im_end|>"
    made = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
    assert said(own, both.chosen) == ["Hello." + ending, made + ending, "Sunny." + ending]
    assert said(own, both.rejected) == ["Hello." + ending, "Which city do you mean?" + ending, "Rain." + ending]
    assert [turn.message for turn in both.chosen.turns] == [1, 3, 5]
    assert [turn.train for turn in both.rejected.turns] == [True, True, False]
    assert (both.shared_turns, both.id, both.dialogue_id, both.source) == (1, "p", "d", "data.jsonl:7")
    fork = both.chosen.turns[1].start
    assert both.chosen.input_ids[:fork] == both.rejected.input_ids[:fork]
    assert both.chosen.turns[0] == both.rejected.turns[0]
    assert all(both.rejected.turns[2].end <= i or i < both.rejected.turns[2].start for i in both.rejected.scored())


def test_errors_name_the_side() -> None:
    broken = pair([user("Hi")], [says("Hello.")], [call(city="Rome")])
    with pytest.raises(TemplateError, match=r"^data.jsonl:7 \(rejected\): tool_calls: the chat template of gemma"):
        Renderer(tokenizer("gemma")).tokenize_pair(broken)


def test_verbatim_text_is_joined_and_closed() -> None:
    own = tokenizer("qwen2_5")
    asked = dialogue(user("Q: 2+2?\nA:"), says(" 4"), verbatim=True)
    tokenized = Renderer(own).tokenize(asked)
    assert own.decode(tokenized.input_ids) == Renderer(own).text(asked) == "Q: 2+2?\nA: 4<|im_end|>"
    assert said(own, tokenized) == [" 4<|im_end|>"]


def test_verbatim_text_opens_with_bos_where_the_tokenizer_writes_one() -> None:
    own = byte_level(("<s>", "</s>"), bos="<s>", eos="</s>")
    own.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", own.bos_token_id)]
    )
    tokenized = Renderer(own).tokenize(dialogue(user("Q: 2+2?\nA:"), says(" 4"), verbatim=True))
    assert own.decode(tokenized.input_ids) == "<s>Q: 2+2?\nA: 4</s>"
    assert said(own, tokenized) == [" 4</s>"]


def test_verbatim_text_alone_is_one_turn() -> None:
    own = tokenizer("qwen2_5")
    tokenized = Renderer(own).tokenize(dialogue(says("The weather is sunny."), verbatim=True))
    assert said(own, tokenized) == ["The weather is sunny.<|im_end|>"]
    assert tokenized.scored() == list(range(1, len(tokenized.input_ids)))


def test_verbatim_needs_no_chat_template() -> None:
    own = fresh_tokenizer("smollm2")
    own.chat_template = None
    both = Renderer(own).tokenize_pair(pair([user("Say:")], [says(" Good.")], [says(" Hi.")], verbatim=True))
    assert (said(own, both.chosen), said(own, both.rejected)) == ([" Good.<|im_end|>"], [" Hi.<|im_end|>"])
    assert both.shared_turns == 0


def test_prompt_and_completion_in_one_token_are_refused() -> None:
    """`wea` and `ther` are one token when they are joined."""
    own = tokenizer("qwen2_5")
    assert len(own.tokenize(" weather")) == 1
    with pytest.raises(TemplateError, match=r"messages\[1\]: the token ' weather' joins .* 'The wea⟨here⟩ther'"):
        Renderer(own).tokenize(dialogue(user("The wea"), says("ther"), verbatim=True))


def test_space_at_the_end_of_a_verbatim_prompt_joins_the_completion() -> None:
    own = tokenizer("qwen2_5")
    tokenized = Renderer(own).tokenize(dialogue(user("The "), says("weather"), verbatim=True))
    assert said(own, tokenized) == [" weather<|im_end|>"]


def test_visible_spaces() -> None:
    own: PreTrainedTokenizerBase = with_visible_spaces(("<s>", "</s>"), bos="<s>", eos="</s>")
    tokenized = Renderer(own).tokenize(dialogue(user("Hello there. "), says("Good 👋🏽"), verbatim=True))
    assert said(own, tokenized)[0].strip() == "Good 👋🏽</s>"
