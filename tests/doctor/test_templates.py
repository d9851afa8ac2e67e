"""What a chat template does, and findings over what the data needs of it, on small templates."""

from tests.cli.tiny import CHATML, tokenizer
from tests.doctor.builders import assistant, call, dialogue, found, pair, result, user

from turnpoint.doctor import Row, Severity, rows_of
from turnpoint.doctor.templates import (
    Features,
    double_start,
    features,
    other_prefix,
    reasoning_left_out,
    special_tokens_in_text,
    system_left_out,
    without_end,
)
from turnpoint.template import Renderer, TokenizedDialogue, Turn, ensure_tool_template

WITHOUT_SYSTEM = CHATML.replace("{{", "{% if message['role'] != 'system' %}{{", 1).replace("}}", "}}{% endif %}", 1)
WITHOUT_END = "{% for message in messages %}{{ '\\n' + message['role'] + ':' + message['content'] }}{% endfor %}"
OTHER_PROMPT = CHATML.replace("assistant\\n' }}{% endif", "assistant\\n<think>\\n' }}{% endif")
SYSTEM = {"role": "system", "content": "Be brief."}


def renderer(template: str = CHATML, *, tools: bool = False) -> Renderer:
    made = tokenizer(template)
    if tools:
        ensure_tool_template(made)
    return Renderer(made)


def row(*ids: int) -> Row:
    return Row("a:1", (TokenizedDialogue(list(ids), (Turn(1, len(ids), 0, True),)),), 0)


def test_features_of_templates() -> None:
    plain = Features(
        tools=False, calls=False, results=False, system=True, ends="<|im_end|>", reasoning=False, prefix=True
    )
    assert features(renderer()) == plain
    with_tools = features(renderer(tools=True))
    assert (with_tools.tools, with_tools.calls, with_tools.results, with_tools.system) == (True, True, True, True)
    assert not features(renderer(WITHOUT_SYSTEM)).system
    assert features(renderer(WITHOUT_END)).ends == ""
    assert not features(renderer(OTHER_PROMPT)).prefix


def test_a_system_message_that_the_template_leaves_out() -> None:
    rows = [
        dialogue(SYSTEM, user("Hi"), assistant("Hello"), source="a:1"),
        dialogue(user("Hi"), assistant("Hello"), source="a:2"),
    ]
    finding = found(system_left_out(rows, features(renderer(WITHOUT_SYSTEM))))
    assert (finding.severity, finding.rows) == (Severity.ERROR, ("a:1",))
    assert system_left_out(rows, features(renderer())) is None


def test_a_generation_prompt_that_training_does_not_show() -> None:
    rows = [dialogue(user("Hi"), assistant("Hello"))]
    assert found(other_prefix(rows, features(renderer(OTHER_PROMPT)))).count == 1
    assert other_prefix(rows, features(renderer())) is None
    assert other_prefix([], features(renderer(OTHER_PROMPT))) is None


def test_text_of_others_that_spells_a_special_token() -> None:
    rows = [
        dialogue(user("Stop <|im_end|> here"), assistant("<|im_end|>"), source="a:1"),
        dialogue(user("Weather?"), call(city="Rome"), result("<|im_start|>"), assistant("Hello"), source="a:2"),
        dialogue(user("Stop <im_end> here"), assistant("Hello <|im_end|>"), source="a:3"),
    ]
    finding = found(special_tokens_in_text(rows, tokenizer()))
    assert finding.rows == ("a:1: messages[0] <|im_end|>", "a:2: messages[2] <|im_start|>")


def test_reasoning_that_the_template_does_not_write() -> None:
    thinking = assistant("Hello", reasoning="They greet.")
    rows = [
        dialogue(user("Hi"), thinking, source="a:1", tools=()),
        dialogue(user("Hi"), thinking | {"train": False}, source="a:2", tools=()),
        dialogue(user("Hi"), assistant("<think>They greet.</think>Hello"), source="a:3", tools=()),
    ]
    both = pair([thinking], [assistant("Bye", reasoning="They go.")], source="p:1").model_copy(update={"tools": ()})
    made = renderer()
    tokenized = rows_of([*rows, both], made)
    finding = found(reasoning_left_out(tokenized, made.tokenizer))
    assert (finding.rows, finding.count) == (("a:1", "p:1"), 2)


def test_a_row_that_begins_twice() -> None:
    made = tokenizer()
    bos = made.bos_token_id
    assert found(double_start([row(bos, bos, 9), row(bos, 9, bos)], made)).count == 1
    assert double_start([row(bos, 9)], made) is None


def test_a_turn_that_nothing_ends() -> None:
    made = renderer(WITHOUT_END)
    rows = rows_of([dialogue(user("Hi"), assistant("Hello"), tools=())], made).rows
    finding = found(without_end(rows, made.tokenizer, made.turn_ends))
    assert (finding.severity, finding.rows) == (Severity.ERROR, ("d.jsonl:1",))
    ended = renderer()
    rows = rows_of([dialogue(user("Hi"), assistant("Hello"), user("Bye"), assistant("Bye"), tools=())], ended).rows
    assert without_end(rows, ended.tokenizer, ended.turn_ends) is None
    cut = [each._replace(sequences=(each.sequences[0]._replace(turns=(Turn(9, 10, 1, True),)),)) for each in rows]
    assert without_end(cut, ended.tokenizer, ended.turn_ends) is not None
