"""Ids of calls and results, and the form a template takes calls in."""

import pytest
from tests.template.builders import call, calls, result, says, user
from tests.template.tiny_tokenizers import tokenizer

from turnpoint.template.engine import Engine
from turnpoint.template.messages import CallForm, template_messages

TWO = calls(("weather", {"city": "Rome"}), ("clock", {}))


def test_ids_are_counted_and_results_follow_their_calls() -> None:
    plain = template_messages([TWO, result("sunny"), result("ten"), call(city="Oslo"), result("rain")], CallForm())
    assert [made["id"] for made in plain[0]["tool_calls"]] == ["call00000", "call00001"]
    assert [(m["tool_call_id"], m["name"]) for m in (plain[1], plain[2], plain[4])] == [
        ("call00000", "weather"),
        ("call00001", "clock"),
        ("call00002", "weather"),
    ]


def test_results_are_matched_by_name_before_order() -> None:
    plain = template_messages([TWO, result("ten", name="clock"), result("sunny")], CallForm())
    assert [(m["tool_call_id"], m["name"]) for m in plain[1:]] == [("call00001", "clock"), ("call00000", "weather")]


@pytest.mark.parametrize(
    ("given", "short", "rendered"),
    [
        ("call_a_long_identifier", False, "call_a_long_identifier"),
        ("call_a_long_identifier", True, "call00000"),
        ("aB3dE6gH9", True, "aB3dE6gH9"),
        ("call_1234", True, "call00000"),
    ],
)
def test_ids_of_the_data_are_kept_where_the_template_takes_them(given: str, short: bool, rendered: str) -> None:
    plain = template_messages([call(id=given, city="Rome"), result("sunny", id=given)], CallForm(short_ids=short))
    assert plain[0]["tool_calls"][0]["id"] == plain[1]["tool_call_id"] == rendered


def test_arguments_and_content() -> None:
    dictionary, text = (
        template_messages([call(city="São Paulo")], form)[0] for form in (CallForm(), CallForm(True, True, False))
    )
    assert (dictionary["content"], dictionary["tool_calls"][0]["function"]["arguments"]) == ("", {"city": "São Paulo"})
    assert (text["content"], text["tool_calls"][0]["function"]["arguments"]) == (None, '{"city": "São Paulo"}')


def test_plain_messages_hold_no_empty_key() -> None:
    assert template_messages([user("Hi"), says("Hello.")], CallForm()) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
    ]


@pytest.mark.parametrize(
    ("family", "form"),
    [
        ("qwen2_5", CallForm()),
        ("llama3", CallForm()),
        ("tagged_arguments", CallForm()),
        ("mistral", CallForm(short_ids=True)),
        ("text_arguments", CallForm(arguments_as_text=True, content_left_out=True)),
        ("gemma", None),
        ("smollm2", None),
    ],
)
def test_form_that_each_template_takes(family: str, form: CallForm | None) -> None:
    assert Engine(tokenizer(family)).call_form == form


@pytest.mark.parametrize(
    ("family", "header", "ends"),
    [
        ("qwen3", "<|im_start|>assistant\n", ("<|im_end|>",)),
        ("llama3", "<|start_header_id|>assistant<|end_header_id|>\n\n", ("<|eot_id|>",)),
        ("gemma", "<start_of_turn>model\n", ("<end_of_turn>",)),
        ("mistral", "", ("</s>",)),
        ("phi3", "assistant|>\n", ("<|end|>",)),
    ],
)
def test_markers_that_each_template_writes(family: str, header: str, ends: tuple[str, ...]) -> None:
    """Phi-3 writes EOS where it writes no header: of the two, `<|` is common and so not learnt as the header's."""
    markers = Engine(tokenizer(family)).markers
    assert (markers.header, markers.ends) == (header, ends)
