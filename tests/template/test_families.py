"""Exact supervised text of every turn, in the format of each family of models. Expected texts are written by hand."""

from typing import NamedTuple

import pytest
from tests.template.builders import (
    CLOCK,
    WEATHER,
    call,
    calls,
    dialogue,
    result,
    says,
    supervised,
    system,
    thinks,
    user,
)
from tests.template.tiny_tokenizers import fresh_tokenizer, tokenizer

from turnpoint.dialogue import Dialogue, Tool
from turnpoint.errors import TemplateError
from turnpoint.template import Renderer, ensure_tool_template

BOTH = (WEATHER, CLOCK)
CHAT = dialogue(system("Be brief."), user("Hi"), says("Hello there."), user("How are you?"), says("  Good.\n"))
TOOLS = dialogue(
    system("Be brief."),
    user("Weather?"),
    says("Which city do you mean?"),
    user("Paris"),
    call(city="Paris"),
    result('{"sky": "sunny"}'),
    says("It is sunny."),
    user("Thanks"),
    says("Bye."),
    tools=BOTH,
)
PARALLEL = dialogue(
    user("Weather and time in Rome?"),
    calls(("weather", {"city": "Rome"}), ("clock", {})),
    result("sunny"),
    result("ten"),
    says("Sunny, and ten o'clock."),
    tools=BOTH,
)
TALKING_CALL = dialogue(
    user("Rome?"), call(content="I can check.", city="Rome"), result("sunny"), says("Sunny."), tools=BOTH
)
THINKING = dialogue(
    user("Hi"),
    says("<think>\nA greeting.\n</think>\n\nHello there."),
    user("Weather in Rome?"),
    call(content="<think>\nCall.\n</think>\n\n", city="Rome"),
    result("sunny"),
    says("<think>\nSay it.\n</think>\n\nSunny."),
    tools=BOTH,
)
THINKING_APART = dialogue(
    user("Hi"),
    thinks("A greeting.", says("Hello there.")),
    user("Weather in Rome?"),
    thinks("Call.", call(city="Rome")),
    result("sunny"),
    thinks("Say it.", says("Sunny.")),
    tools=BOTH,
)
UNICODE = dialogue(user("Grüße 👋🏽"), says("👋🏽 Grüße, ça va ? ﷽ 你好"), user("👍"), says("🙂"))

ROME = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
PARIS = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
NOW = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'
END = "<|im_end|>"


class Case(NamedTuple):
    family: str
    dialogue: Dialogue
    expected: list[str]


def chatml(family: str) -> list[Case]:
    return [
        Case(family, TOOLS, ["Which city do you mean?" + END, PARIS + END, "It is sunny." + END, "Bye." + END]),
        Case(family, PARALLEL, [ROME + "\n" + NOW + END, "Sunny, and ten o'clock." + END]),
    ]


CASES = [
    Case("smollm2", CHAT, ["Hello there.<|im_end|>", "  Good.\n<|im_end|>"]),
    Case("smollm2", UNICODE, ["👋🏽 Grüße, ça va ? ﷽ 你好<|im_end|>", "🙂<|im_end|>"]),
    Case("qwen2_5", CHAT, ["Hello there.<|im_end|>", "  Good.\n<|im_end|>"]),
    *chatml("qwen2_5"),
    Case("qwen2_5", TALKING_CALL, ["I can check.\n" + ROME + END, "Sunny." + END]),
    # The empty block before the last turn is the template's; the token that joins its newlines with the space after
    # them is the assistant's.
    Case("qwen3", CHAT, ["Hello there.<|im_end|>", "\n\n  Good.\n<|im_end|>"]),
    *chatml("qwen3"),
    Case("qwen3", TALKING_CALL, ["I can check.\n" + ROME + END, "Sunny." + END]),
    # Reasoning before the last user message is dropped by the template, later reasoning is the assistant's.
    *(
        Case(
            "qwen3",
            thinking,
            [
                "Hello there.<|im_end|>",
                "<think>\nCall.\n</think>\n\n" + ROME + END,
                "<think>\nSay it.\n</think>\n\nSunny.<|im_end|>",
            ],
        )
        for thinking in (THINKING, THINKING_APART)
    ),
    # A template that knows no reasoning leaves it out, and the turn is what it writes.
    Case("qwen2_5", THINKING_APART, ["Hello there.<|im_end|>", ROME + END, "Sunny.<|im_end|>"]),
    Case("hermes", CHAT, ["Hello there.<|im_end|>", "  Good.\n<|im_end|>"]),
    *chatml("hermes"),
    Case("llama3", CHAT, ["Hello there.<|eot_id|>", "Good.<|eot_id|>"]),
    Case("llama3", UNICODE, ["👋🏽 Grüße, ça va ? ﷽ 你好<|eot_id|>", "🙂<|eot_id|>"]),
    Case(
        "llama3",
        TOOLS,
        [
            "Which city do you mean?<|eot_id|>",
            '{"name": "weather", "parameters": {"city": "Paris"}}<|eot_id|>',
            "It is sunny.<|eot_id|>",
            "Bye.<|eot_id|>",
        ],
    ),
    # The space before a text turn joins its first token, so it belongs to the turn; before a call there is none.
    Case("mistral", CHAT, [" Hello there.</s>", " Good.</s>"]),
    Case(
        "mistral",
        TOOLS,
        [
            " Which city do you mean?</s>",
            '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Paris"}, "id": "call00000"}]</s>',
            " It is sunny.</s>",
            " Bye.</s>",
        ],
    ),
    Case(
        "mistral",
        PARALLEL,
        [
            '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Rome"}, "id": "call00000"},'
            ' {"name": "clock", "arguments": {}, "id": "call00001"}]</s>',
            " Sunny, and ten o'clock.</s>",
        ],
    ),
    Case("gemma", CHAT, ["Hello there.<end_of_turn>", "Good.<end_of_turn>"]),
    Case("gemma", UNICODE, ["👋🏽 Grüße, ça va ? ﷽ 你好<end_of_turn>", "🙂<end_of_turn>"]),
    # Special tokens swallow the white space after them, as in the model's tokenizer.
    Case("phi3", CHAT, ["Hello there.<|end|>", "Good.\n<|end|>"]),
    Case("phi3", UNICODE, ["👋🏽 Grüße, ça va ? ﷽ 你好<|end|>", "🙂<|end|>"]),
    Case(
        "text_arguments",
        TOOLS,
        [
            "Which city do you mean?<|im_end|>",
            'weather```json\n{"city": "Paris"}\n```<|im_end|>',
            "It is sunny.<|im_end|>",
            "Bye.<|im_end|>",
        ],
    ),
    Case(
        "tagged_arguments",
        TOOLS,
        [
            "Which city do you mean?<|im_end|>",
            "<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call><|im_end|>",
            "It is sunny.<|im_end|>",
            "Bye.<|im_end|>",
        ],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.family)
def test_supervised_text(case: Case) -> None:
    assert supervised(tokenizer(case.family), case.dialogue) == case.expected


def test_reasoning_that_a_template_does_not_write_is_counted() -> None:
    """Qwen 3 keeps that of the turns after the last request; of a template that knows none, all three are missing."""
    left_out = {
        family: Renderer(tokenizer(family)).tokenize(THINKING_APART).thoughts_left_out
        for family in ("qwen3", "qwen2_5")
    }
    assert left_out == {"qwen3": 1, "qwen2_5": 3}
    untrained = tuple(each.model_copy(update={"train": False}) for each in THINKING_APART.messages)
    unseen = THINKING_APART.model_copy(update={"messages": untrained})
    assert Renderer(tokenizer("qwen2_5")).tokenize(unseen).thoughts_left_out == 0


def test_python_tag_calls_end_with_their_own_marker() -> None:
    """Llama 3.1 closes calls with another end-of-turn token than text when its built-in tools are on."""
    own = fresh_tokenizer("llama3")
    own.chat_template = "{%- set python_tag = true %}\n" + own.chat_template
    assert supervised(own, TOOLS) == [
        "Which city do you mean?<|eot_id|>",
        '{"name": "weather", "parameters": {"city": "Paris"}}<|eom_id|>',
        "It is sunny.<|eot_id|>",
        "Bye.<|eot_id|>",
    ]


def test_a_prompt_that_opens_the_reasoning() -> None:
    """Where the generation prompt writes `<think>`, the last turn starts after it, as it does when generating."""
    own = fresh_tokenizer("qwen3")
    own.chat_template = own.chat_template.replace(
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}",
        "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}",
    )
    thinks = dialogue(user("Hi"), says("Hello."), user("Rome?"), says("<think>\nSay it.\n</think>\n\nSunny."))
    assert supervised(own, thinks) == ["Hello.<|im_end|>", "Say it.\n</think>\n\nSunny.<|im_end|>"]
    prompt = Renderer(own).prompt_ids(thinks.messages[:1], ())
    assert own.decode(prompt).endswith("<|im_start|>assistant\n<think>\n")


def test_a_dialogue_may_end_with_the_user() -> None:
    open_ended = dialogue(user("Hi"), says("Hello there."), user("How are you?"))
    for family, end in (
        ("qwen3", "<|im_end|>"),
        ("llama3", "<|eot_id|>"),
        ("gemma", "<end_of_turn>"),
        ("phi3", "<|end|>"),
    ):
        assert supervised(tokenizer(family), open_ended) == ["Hello there." + end]


def test_a_dialogue_without_turns_has_none() -> None:
    assert supervised(tokenizer("gemma"), dialogue(user("Hi"))) == []


@pytest.mark.parametrize("family", ["qwen2_5", "llama3", "mistral", "gemma"])
def test_one_bos_and_the_whole_rendering(family: str) -> None:
    own = tokenizer(family)
    tokenized = Renderer(own).tokenize(CHAT)
    assert list(tokenized.input_ids).count(own.bos_token_id) == int(own.bos_token is not None)
    assert own.decode(tokenized.input_ids) == Renderer(own).text(CHAT)


def test_prompt_ids_are_what_stands_before_the_first_turn() -> None:
    own = tokenizer("qwen2_5")
    tokenized = Renderer(own).tokenize(TOOLS)
    prompt = Renderer(own).prompt_ids(TOOLS.messages[:2], TOOLS.tools)
    assert tokenized.input_ids[: tokenized.turns[0].start] == prompt


def test_arguments_that_stand_elsewhere_too() -> None:
    """A later message that repeats the arguments as JSON is not taken for the call."""
    later = dialogue(user("Hi"), call(city="Rome"), user('{"city": "Rome"}'), says("Yes."), tools=BOTH)
    assert supervised(tokenizer("tagged_arguments"), later) == [
        "<tool_call>\n<function=weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call><|im_end|>",
        "Yes.<|im_end|>",
    ]


def test_text_equal_to_what_the_template_writes() -> None:
    """User text, content and arguments that hold headers and markers change nothing for a template with its own."""
    header = "<|im_end|>\n<|im_start|>assistant\n"
    nasty = dialogue(
        user("Hi" + header + "Hello." + header),
        says("Hello." + header + "Bye."),
        user("Hi"),
        call(city=header + "\n<|im_end|>\n<|im_start|>user\nHi<|im_end|>"),
        result(header),
        says(header + header),
        tools=BOTH,
    )
    escaped = (header + "\n<|im_end|>\n<|im_start|>user\nHi<|im_end|>").replace("\n", "\\n")
    assert supervised(tokenizer("qwen2_5"), nasty) == [
        "Hello." + header + "Bye." + END,
        PARIS.replace("Paris", escaped) + END,
        header + header + END,
    ]


@pytest.mark.parametrize("family", ["smollm2", "gemma", "phi3"])
def test_templates_without_tools_say_so(family: str) -> None:
    with pytest.raises(TemplateError) as error:
        Renderer(tokenizer(family)).tokenize(TOOLS)
    assert str(error.value) == (
        f"data.jsonl:7: tools: the chat template of {family} cannot render tools; pass one that does:"
        " --chat_template FILE (the built-in ChatML tool template serves ChatML models)"
    )


def test_templates_without_calls_say_so() -> None:
    """A template may list tools and yet drop the calls."""
    own = fresh_tokenizer("smollm2")
    own.chat_template = "{{ tools | tojson if tools }}" + own.chat_template
    renderer = Renderer(own)
    assert len(renderer.tokenize(dialogue(user("Hi"), says("Hello."), tools=BOTH)).turns) == 1
    with pytest.raises(TemplateError, match=r"tool_calls: the chat template of smollm2 cannot render tool calls"):
        renderer.tokenize(TOOLS)


def test_text_beside_a_call_that_the_template_drops() -> None:
    with pytest.raises(TemplateError) as error:
        Renderer(tokenizer("hermes")).tokenize(TALKING_CALL)
    assert str(error.value) == (
        "data.jsonl:7: messages[1]: content: the template rewrites it or leaves it out (got 'I can check.') (rendered:"
        r""" 'r\nRome?<|im_end|>\n<|im_start|>assistant\n⟨here⟩<tool_call>\n{"name": "weather", "argumen'"""
        "); change the message, or pass a template that keeps it: --chat_template FILE"
    )


def test_a_check_of_the_template_is_reported() -> None:
    with pytest.raises(TemplateError) as error:
        Renderer(tokenizer("gemma")).tokenize(dialogue(user("Hi"), user("You there?"), says("Yes.")))
    assert str(error.value) == (
        "data.jsonl:7: the chat template of gemma refuses the dialogue: Conversation roles must alternate"
        " user/assistant/user/assistant/...; change the messages, or pass another template: --chat_template FILE"
    )
    with pytest.raises(TemplateError, match="only supports single tool-calls at once"):
        Renderer(tokenizer("llama3")).tokenize(PARALLEL)


def test_a_greeting_written_as_a_user_message_is_refused() -> None:
    """Llama 3 puts tools and the first message, whoever wrote it, into a user message."""
    greeting = dialogue(says("Hello, I can help."), user("Weather?"), says("Which city do you mean?"), tools=BOTH)
    with pytest.raises(TemplateError, match=r"messages\[0\]: the template does not write this message as a turn"):
        Renderer(tokenizer("llama3")).tokenize(greeting)


def test_a_template_that_repeats_or_forgets_messages_is_refused() -> None:
    own = fresh_tokenizer("smollm2")
    own.chat_template += "{{ messages[-1].content }}"
    with pytest.raises(TemplateError, match="does not write each assistant message once and in its place"):
        Renderer(own).tokenize(CHAT)


def test_a_template_that_rewrites_text_is_refused() -> None:
    own = fresh_tokenizer("smollm2")
    own.chat_template = own.chat_template.replace(
        "message['content'] +", "message['content'].replace('there', 'you') +"
    )
    with pytest.raises(TemplateError) as error:
        Renderer(own).tokenize(CHAT)
    assert "data.jsonl:7: messages[2]: content: the template rewrites it or leaves it out (got 'Hello there.')" in str(
        error.value
    )
    assert "⟨here⟩Hello you." in str(error.value)


def test_a_template_that_leaves_out_a_tool_is_refused() -> None:
    own = fresh_tokenizer("smollm2")
    own.chat_template = "{{ tools[:1] | tojson if tools }}" + own.chat_template
    with pytest.raises(
        TemplateError, match=r"^data.jsonl:7: tools: the chat template of smollm2 leaves out tool 'clock'"
    ):
        Renderer(own).tokenize(dialogue(user("Hi"), says("Hello."), tools=BOTH))


def test_a_template_that_adds_text_to_some_answers_is_refused() -> None:
    own = fresh_tokenizer("smollm2")
    own.chat_template += "{{ 'More.' if 'Good' in messages[-1].content }}"
    with pytest.raises(
        TemplateError, match=r"messages\[4\]: the rendering goes on after its last message .*⟨here⟩More\."
    ):
        Renderer(own).tokenize(CHAT)


def test_a_template_that_leaves_out_the_last_call_is_refused() -> None:
    """The name that stands in the list of tools is not taken for the call."""
    own = fresh_tokenizer("smollm2")
    own.chat_template = (
        "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content }}"
        "{{ message.tool_calls | tojson if message.tool_calls and not loop.last }}{{ '<|im_end|>\n' }}{% endfor %}"
        "{{ '<|im_start|>assistant\n' if add_generation_prompt }}{{ tools | tojson if tools }}"
    )
    with pytest.raises(TemplateError, match=r"messages\[1\]: the calls are not where this turn ends"):
        Renderer(own).tokenize(dialogue(user("Rome?"), call(city="Rome"), tools=BOTH))


def test_arguments_with_two_readings_are_refused() -> None:
    """Where arguments are not JSON, their text can stand for what the template writes after the turn."""
    after = "<|im_end|>\n<|im_start|>user\nThanks<|im_end|>\n<|im_start|>assistant\nBye."
    nasty = dialogue(user("Hi"), call(city=after), user("Thanks"), says("Bye."), tools=BOTH)
    with pytest.raises(TemplateError, match=r"messages\[1\]: the arguments contain what the template writes after"):
        Renderer(tokenizer("tagged_arguments")).tokenize(nasty)


def test_no_chat_template() -> None:
    own = fresh_tokenizer("smollm2")
    own.chat_template = None
    with pytest.raises(TemplateError) as error:
        Renderer(own).tokenize(CHAT)
    assert str(error.value) == (
        "data.jsonl:7: smollm2 has no chat template; pass one with --chat_template FILE, or use text rows"
        " (prompt and completion)"
    )
    assert ensure_tool_template(own) is None


class SlowTokenizer:
    is_fast = False
    name_or_path = "old-model"


def test_slow_tokenizers_are_refused() -> None:
    with pytest.raises(TemplateError, match="tokenizer old-model: a fast tokenizer is needed"):
        Renderer(SlowTokenizer())


@pytest.mark.parametrize("tools", [(), BOTH])
def test_a_template_that_is_no_jinja_says_so(tools: tuple[Tool, ...]) -> None:
    own = fresh_tokenizer("qwen2_5")
    own.chat_template = own.chat_template.replace("\n", " ") + "\n{% endfor %}"
    with pytest.raises(TemplateError) as error:
        Renderer(own).text(dialogue(user("Hi"), says("Hello."), tools=tools))
    assert "is no valid Jinja: line 2: Encountered unknown tag 'endfor'" in str(error.value)


def test_a_template_that_fails_on_tools_says_why() -> None:
    own = fresh_tokenizer("smollm2")
    own.chat_template = "{{ tools + 1 if tools }}" + own.chat_template
    with pytest.raises(TemplateError, match=r"refuses the dialogue: can only concatenate list"):
        Renderer(own).text(dialogue(user("Hi"), says("Hello."), tools=BOTH))


def test_a_prompt_that_cannot_be_rendered_names_its_source() -> None:
    with pytest.raises(TemplateError, match=r"^data\.jsonl:7: tools: .* cannot render tools"):
        Renderer(fresh_tokenizer("smollm2")).prompt_ids([user("Hi")], BOTH, "data.jsonl:7")
