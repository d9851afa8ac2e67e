"""The built-in tool template, for models whose ChatML template has no tools."""

import json
import re
from importlib.resources import files

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from turnpoint.template.engine import Engine

_USES_TOOLS = re.compile(r"\{[{%][^}]*\btools\b")
_SYSTEM_BLOCK = re.compile(r"\s*<\|im_start\|>system\n(.*?)<\|im_end\|>\s*<\|im_start\|>user\n", re.DOTALL)


def chatml_tools() -> str:
    """The built-in template: ChatML, tools as JSON lines in the system message, calls in `<tool_call>` tags."""
    return (files("turnpoint.template") / "chatml_tools.jinja").read_text(encoding="utf-8")


def ensure_tool_template(tokenizer: PreTrainedTokenizerBase | ProcessorMixin) -> str | None:
    """Give a tokenizer whose ChatML template has no tools the built-in template; it is saved with the tokenizer.

    A processor keeps its template, which writes images, and so does its tokenizer.

    The system message that the model's own template writes where a dialogue has none is kept for dialogues without
    tools, so that these render as before.

    Returns:
        The line to tell the user, or None when the tokenizer keeps its template.

    Raises:
        TemplateError: the tokenizer's template renders nothing at all.
    """
    own = tokenizer.chat_template
    if (
        isinstance(tokenizer, ProcessorMixin)
        or not isinstance(own, str)
        or "<|im_start|>" not in own
        or _USES_TOOLS.search(own)
    ):
        return None
    engine = Engine(tokenizer)
    if engine.in_parts:
        return None
    asked = engine.render([{"role": "user", "content": "hello"}], (), engine.name, refusing=False)
    default = _SYSTEM_BLOCK.match(asked)
    head = f"{{%- set default_system = {json.dumps(default[1], ensure_ascii=False)} %}}\n" if default else ""
    tokenizer.chat_template = head + chatml_tools()
    return f"{engine.name} has no tools: the built-in ChatML tool template takes its place"
