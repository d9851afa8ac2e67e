"""Scored tokens, and nothing else, are green."""

from rich.text import Text
from tests.cli.tiny import tokenizer

from turnpoint.cli.inspect import highlighted


def green(text: Text) -> list[str]:
    return [text.plain[span.start : span.end] for span in text.spans if "green" in str(span.style)]


def test_scored_ranges_are_green_and_the_text_is_whole() -> None:
    made = tokenizer()
    parts = ["<|im_start|>user\nHi<|im_end|>", "It is [red] sunny.<|im_end|>", "\n", "Bye", "<|im_end|>"]
    ids = [made(part, add_special_tokens=False)["input_ids"] for part in parts]
    bounds = [sum(map(len, ids[:i])) for i in range(len(parts) + 1)]
    text = highlighted(made, [i for part in ids for i in part], [(bounds[1], bounds[2]), (bounds[3], bounds[4])])
    assert text.plain == "".join(parts)
    assert green(text) == [parts[1], parts[3]]
