"""Records for the inspector, its page of them, and the data in that page."""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.cli.tiny import tokenizer
from tests.doctor.builders import assistant, call, pair, result, user

from turnpoint.dialogue import Dialogue, PreferencePair, parse
from turnpoint.doctor import Finding, examine, rows_of
from turnpoint.doctor.tokens import Tokenized
from turnpoint.report import inspector_page
from turnpoint.template import Renderer, ensure_tool_template

HOSTILE = "</script><img src=x onerror=\"document.title='ran'\"><!-- \u2028\u2029 {{script}}"


class Inspected(NamedTuple):
    page: str
    tokenized: Tokenized
    renderer: Renderer


def renderer() -> Renderer:
    made = tokenizer()
    ensure_tool_template(made)
    return Renderer(made)


def inspected(
    records: Sequence[Dialogue] | Sequence[PreferencePair], findings: Sequence[Finding] | None = None
) -> Inspected:
    reads = renderer()
    tokenized = rows_of(records, reads)
    found = examine(records, tokenized) if findings is None else findings
    return Inspected(inspector_page("rows.jsonl", records, tokenized, found, reads.tokenizer), tokenized, reads)


def blob(page: str) -> str:
    """The data in a page, as they stand there."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return found[1]


def data_of(page: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(blob(page))
    return data


def with_image() -> dict[str, Any]:
    """A user message that a tokenizer alone cannot read."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
    return {"role": "user", "content": [{"type": "text", "text": "Look: "}, image]}


def several_turns(source: str = "p.jsonl:1") -> PreferencePair:
    """A turn of the prompt; two turns of the chosen side, one of the rejected."""
    raw = {
        "prompt": [user("Hi"), assistant("It is sunny."), user("Weather in Paris?")],
        "chosen": [assistant("Which city?"), user("Paris"), assistant("It is sunny in Paris.")],
        "rejected": [assistant("I am unable to do that.")],
        "source": source,
    }
    return parse(PreferencePair, raw, source)


def hostile() -> list[PreferencePair]:
    """Markup wherever data have text."""
    tool = {"name": "weather", "description": HOSTILE, "parameters": {"type": "object", "description": HOSTILE}}
    raw = {
        "prompt": [{"role": "system", "content": HOSTILE}, user(HOSTILE), call(), {**result(HOSTILE), "name": HOSTILE}],
        "chosen": [assistant(f"{HOSTILE} chosen")],
        "rejected": [assistant(HOSTILE)],
        "tools": [{**tool, "name": HOSTILE}, tool],
        "kind": HOSTILE,
        "about": {HOSTILE: HOSTILE},
        "source": HOSTILE,
    }
    return [parse(PreferencePair, raw, "hostile"), pair("It is sunny.", "Which city?", source=f"{HOSTILE}:2")]
