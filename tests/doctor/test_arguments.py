"""Findings over the arguments of calls: against the schema of the tool, and against what was said."""

from typing import Any

import pytest
from tests.doctor.builders import call, dialogue, found, user

from turnpoint.dialogue import Dialogue
from turnpoint.doctor.arguments import broken_schemas, broken_values, missing_required, unknown_parameters
from turnpoint.doctor.grounding import ungrounded_optional, ungrounded_required


def calling(schema: dict[str, Any], **arguments: Any) -> Dialogue:
    """A call of a tool with the parameters of a schema."""
    return dialogue(user("go"), call("t", **arguments), tools=({"name": "t", "parameters": schema},))


def of_x(schema: Any, value: Any) -> Dialogue:
    """A call with one parameter."""
    return calling({"type": "object", "properties": {"x": schema}}, x=value)


def test_arguments_against_the_schema() -> None:
    rows = [
        dialogue(user("Weather in Paris?"), call(days=2), source="a:1"),
        dialogue(user("Weather in Paris?"), call(city="Paris", place="Paris", hour=1), source="a:2"),
        dialogue(user("Weather in Paris?"), call(city="Paris", days="two", unit="k"), source="a:3"),
    ]
    assert found(missing_required(rows)).rows == ("a:1: weather(city)",)
    assert found(unknown_parameters(rows)).rows == ("a:2: weather(place, hour)",)
    assert found(broken_values(rows)).rows == ("a:3: weather(days='two', unit='k')",)
    assert found(broken_values(rows)).sources == ("a:3",)


def test_a_long_value_is_cut_in_the_report() -> None:
    long = found(broken_values([dialogue(user("Weather?"), call(city="Paris", unit="k" * 200))]))
    assert long.rows == (f"d.jsonl:1: weather(unit='{'k' * 58}…)",)


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        ({"type": "integer"}, True, False),
        ({"type": "boolean"}, True, True),
        ({"type": "number"}, 1, True),
        ({"type": "integer"}, 1.5, False),
        ({"type": ["string", "null"]}, None, True),
        ({}, [1], True),
        ({"type": "array"}, "a", False),
        ({"enum": [1, 2]}, 3, False),
        ({"type": "integer", "minimum": 1}, 0, False),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, "OSL", True),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, "Oslo", False),
        ({"type": "array", "items": {"type": "string"}}, ["a", 1], False),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, 1.5, False),
    ],
)
def test_values_by_json_schema(schema: dict[str, object], value: object, fits: bool) -> None:
    assert (broken_values([of_x(schema, value)]) is None) is fits


def test_faults_within_values_name_their_place() -> None:
    item = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    schema = {"type": "array", "items": item}
    assert found(broken_values([of_x(schema, [{"n": 1}, {"n": "b"}])])).rows == ("d.jsonl:1: t(x[1].n='b')",)
    missing = found(missing_required([of_x(schema, [{}])]))
    assert missing.rows == ("d.jsonl:1: t(x[0]: 'n' is a required property)",)
    unknown = found(unknown_parameters([of_x(schema, [{"n": 1, "m": 2}])]))
    assert unknown.rows[0].startswith("d.jsonl:1: t(x[0]: Additional properties are not allowed ('m'")


def test_definitions_within_a_schema_are_followed() -> None:
    schema = {"type": "object", "properties": {"x": {"$ref": "#/$defs/day"}}, "$defs": {"day": {"enum": ["Mon"]}}}
    assert broken_values([calling(schema, x="Mon")]) is None
    assert found(broken_values([calling(schema, x="Tue")])).rows == ("d.jsonl:1: t(x='Tue')",)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "date"}, "properties.x.type: 'date' is not valid under any of the given schemas"),
        ({"type": "string", "required": True}, "properties.x.required: True is not of type 'array'"),
        ({"pattern": "["}, "properties.x.pattern: '[' is not a 'regex'"),
        ({"$ref": "https://example.org/day.json"}, "$ref: 'https://example.org/day.json' leads nowhere"),
        ({"$ref": "#/$defs/day"}, "$ref: '#/$defs/day' leads nowhere"),
    ],
)
def test_a_broken_schema_is_told_once_and_no_value_is_judged_by_it(schema: dict[str, object], told: str) -> None:
    rows = [of_x(schema, 5), of_x(schema, 6)]
    assert found(broken_schemas(rows)).rows == (f"d.jsonl:1: t: {told}",)
    assert broken_values(rows) is None
    assert found(unknown_parameters([calling({"type": "date", "properties": {}}, y=1)])).rows == ("d.jsonl:1: t(y)",)


def test_extra_parameters_are_fine_where_the_schema_allows_them() -> None:
    open_ended = {"type": "object", "properties": {}, "additionalProperties": True}
    assert unknown_parameters([calling(open_ended, x=1)]) is None
    assert unknown_parameters([calling({"type": "object", "patternProperties": {"^x": {}}}, x=1)]) is None


def test_a_required_value_that_nobody_said() -> None:
    invented = dialogue(user("Weather?"), call(city="Paris"), source="a:1")
    spelled = dialogue(user("Weather in new york?"), call(city="New-York"), source="a:2")
    optional = dialogue(user("Weather in Paris?"), call(city="Paris", days=3), source="a:3")
    assert found(ungrounded_required([invented, spelled, optional])).rows == ("a:1: weather(city='Paris')",)


def test_an_optional_value_that_nobody_said_and_the_schema_does_not_offer() -> None:
    invented = dialogue(user("Weather in Paris?"), call(city="Paris", days=3), source="a:1")
    offered = dialogue(user("Weather in Paris?"), call(city="Paris", unit="c"), source="a:2")
    said = dialogue(user("Weather in Paris for 3 days?"), call(city="Paris", days=3), source="a:3")
    assert found(ungrounded_optional([invented, offered, said])).rows == ("a:1: weather(days=3)",)
    assert ungrounded_optional([of_x({"default": "now"}, "now")]) is None


def test_every_value_within_a_value_has_to_be_said() -> None:
    asked = user("Weather in Rome and Paris?")
    tool = {"name": "t", "parameters": {"type": "object", "properties": {"x": {}}, "required": ["x"]}}
    said = dialogue(asked, call("t", x=["Rome", {"city": "Paris"}]), tools=(tool,))
    half = dialogue(asked, call("t", x=["Rome", {"city": "Oslo"}]), tools=(tool,))
    assert found(ungrounded_required([said, half])).rows == ("d.jsonl:1: t(x=['Rome', {'city': 'Oslo'}])",)
