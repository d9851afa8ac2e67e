"""What several models reply to the same prompts, side by side: in a terminal, in a notebook, in Markdown, as a page.

Prompts and replies are texts of strangers, so each form escapes them.
"""

import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.dialogue import Message
from turnpoint.pairs import Samples
from turnpoint.report.messages import readable
from turnpoint.sampling import Question, Reply, as_prompts, replies_to

_CUT = " …"  # at the end of a reply that reached the most tokens it may have
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a terminal would obey them
_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_CELL = "text-align:left;vertical-align:top;white-space:pre-wrap;overflow-wrap:anywhere"
_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2rem;color:#1c2024;background:#fff}"
    "table{border-collapse:collapse;width:100%;table-layout:fixed}"
    "th,td{border:1px solid #d0d4da;padding:.5rem .6rem}"
    "th{background:#f2f4f7}details{color:#5b6470}"
    "@media(prefers-color-scheme:dark){body{color:#e4e7eb;background:#16191d}th{background:#22262c}}"
)


@dataclass(frozen=True, repr=False)
class SideBySide:
    """Replies of several models. Printing it gives a table; a notebook shows one.

    Attributes:
        prompts: what was asked.
        replies: of each model, by its name, its reply to each prompt.
    """

    prompts: Sequence[Samples]
    replies: Mapping[str, Sequence[Reply]]

    def __rich__(self) -> Table:
        table = Table(show_lines=True)
        for name in ("prompt", *self.replies):
            table.add_column(Text(_printable(name)), overflow="fold")
        for cells in self._rows():
            table.add_row(*(Text(_printable(cell)) for cell in cells))
        return table

    def __str__(self) -> str:
        """The table, as wide as the terminal."""
        written = io.StringIO()
        Console(file=written, width=Console().width).print(self)
        return written.getvalue().rstrip("\n")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """A table of HTML."""
        head = "".join(f'<th style="{_CELL}">{_as_html(name)}</th>' for name in ("prompt", *self.replies))
        body = "".join(
            f'<tr><td style="{_CELL}">{_prompt_as_html(prompt)}</td>'
            + "".join(f'<td style="{_CELL}">{_as_html(cell)}</td>' for cell in cells)
            + "</tr>"
            for prompt, (_, *cells) in zip(self.prompts, self._rows(), strict=True)
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def page(self) -> str:
        """A page of HTML, complete in itself."""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
            f"<title>{_as_html(', '.join(self.replies))}</title><style>{_STYLE}</style></head>"
            f"<body>{self._repr_html_()}</body></html>\n"
        )

    def markdown(self) -> str:
        """A table of GitHub's Markdown, in which the texts stand as they are, without markup of their own."""
        head, *rows = [list(map(_as_markdown, cells)) for cells in (["prompt", *self.replies], *self._rows())]
        lines = [head, ["---"] * len(head), *rows]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "models": list(self.replies),
            "prompts": [
                {
                    "id": prompt.id,
                    "source": prompt.source,
                    "prompt": [message.openai() for message in prompt.prompt],
                    "replies": {name: replies[i]._asdict() for name, replies in self.replies.items()},
                }
                for i, prompt in enumerate(self.prompts)
            ],
        }

    def note_on_cuts(self) -> str | None:
        """A line on replies that were cut at the most tokens they may have; None where there are none."""
        replies = [reply for of_model in self.replies.values() for reply in of_model]
        cut = sum(reply.cut for reply in replies)
        return f"{cut} of {len(replies)} replies reached max_new_tokens; they end with …" if cut else None

    def _rows(self) -> list[list[str]]:
        """What was said last in each prompt, and the replies to it."""
        return [
            [_said(prompt.prompt[-1]), *(_shown(replies[i]) for replies in self.replies.values())]
            for i, prompt in enumerate(self.prompts)
        ]


def test_model_with_questions(
    models: Mapping[str, tuple[PreTrainedModel, PreTrainedTokenizerFast]],
    questions: Sequence[Question],
    system: str | None = None,
    **settings: Any,
) -> SideBySide:
    """Ask several models the same questions.

    Args:
        models: by the name to show, each with its tokenizer.
        questions: texts of a user, dialogues, pairs or samples, as `generate_responses` takes them.
        system: text of a system message for those that have none.
        settings: of `generate_responses`; its errors are those here.
    """
    prompts = as_prompts(questions, system)
    return SideBySide(prompts, {name: replies_to(*each, prompts, **settings) for name, each in models.items()})


test_model_with_questions.__test__ = False  # type: ignore[attr-defined]  # its name would make it a test of pytest's


def _shown(reply: Reply) -> str:
    return reply.text + _CUT if reply.cut else reply.text


def _said(message: Message) -> str:
    """A message, with its role where that is not the user's."""
    return readable(message) if message.role == "user" else f"{message.role}: {readable(message)}"


def _prompt_as_html(prompt: Samples) -> str:
    """What was said last, and behind a mark that opens it all before that."""
    *before, last = prompt.prompt
    shown = _as_html(_said(last))
    if not before:
        return shown
    said = _as_html("\n".join(f"{message.role}: {readable(message)}" for message in before))
    return f"<details><summary>{len(before)} before</summary>{said}</details>{shown}"


def _printable(text: str) -> str:
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def _as_html(text: str) -> str:
    return html.escape(_printable(text))


def _as_markdown(text: str) -> str:
    escaped = _MARKUP.sub(r"\\\1", html.escape(_printable(text), quote=False))
    return "<br>".join(escaped.splitlines())
