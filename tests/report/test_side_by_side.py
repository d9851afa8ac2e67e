"""Replies side by side: every form shows hostile text as the text that it is."""

import json
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.pairs.dialogues import CALLS, user
from tests.sampling.handmade_models import scripted

import turnpoint
from turnpoint.pairs import Samples
from turnpoint.report import SideBySide, test_model_with_questions
from turnpoint.sampling import Reply

HOSTILE = (
    "<script>alert(1)</script> a | b \\| `code | x` **bold** _it_ [l](javascript:x) ~~s~~ &lt; $x$\n"
    '<img src=x onerror="alert(2)">\n\n- no list'
)


def table(text: str = HOSTILE, cut: bool = False) -> SideBySide:
    prompts = [Samples(prompt=(user(text),), id="1"), Samples(prompt=CALLS.messages[:3], tools=CALLS.tools, id="2")]
    return SideBySide(prompts, {f"m{text}": [Reply(text, cut), Reply("plain", False)], "other": [Reply("", False)] * 2})


class Read(HTMLParser):
    """Tags, and texts outside of <style>."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {name for name, _ in attrs} & {"onerror", "src", "href"}

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.texts.append(data)


@pytest.mark.parametrize("form", ["page", "_repr_html_"])
def test_html_shows_text_as_text(form: str) -> None:
    read = Read(getattr(table(), form)())
    assert not {"script", "img", "a", "link"} & set(read.tags)
    said = "".join(read.texts)
    assert said.count(HOSTILE) == {"page": 4, "_repr_html_": 3}[form]  # the title of a page names the models
    assert "tool: sunny" in said
    assert 'assistant: weather({"city": "Paris", "day": "tomorrow"})' in said


def test_a_page_needs_nothing_beside_itself() -> None:
    page = table("x").page()
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.startswith("<!doctype html>")


def cells(markdown: str) -> list[list[str]]:
    """What a reader of GitHub's Markdown finds in each cell of a table: texts alone, <br> as line breaks."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    assert {token.type for token in tokens} <= {
        *("table_open", "thead_open", "tr_open", "th_open", "inline", "th_close", "tr_close", "thead_close"),
        *("tbody_open", "td_open", "td_close", "tbody_close", "table_close"),
    }
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            assert {(each.type, each.content) for each in token.children or () if each.type != "text"} <= {
                ("html_inline", "<br>"),
                ("text_special", ""),
            }
            rows[-1].append("".join(each.content.replace("<br>", "\n") for each in token.children or ()))
    return rows


def test_markdown_shows_text_as_text() -> None:
    assert cells(table().markdown()) == [
        ["prompt", f"m{HOSTILE}", "other"],
        [HOSTILE, HOSTILE, ""],
        ["tool: sunny", "plain", ""],
    ]


def test_markdown_to_the_letter() -> None:
    assert table("a|b `c`").markdown() == (
        "| prompt | ma\\|b \\`c\\` | other |\n"
        "| --- | --- | --- |\n"
        "| a\\|b \\`c\\` | a\\|b \\`c\\` |  |\n"
        "| tool: sunny | plain |  |\n"
    )


def test_a_terminal_gets_no_markup_and_no_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = str(table("[bold]no[/bold] \x1b[31mred\x07"))
    assert "[bold]no[/bold] \N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}" in shown
    assert "\x1b" not in shown
    assert repr(table("x")) == str(table("x"))
    assert max(map(len, shown.splitlines())) <= 120


def test_replies_that_were_cut_are_marked() -> None:
    found = table("It is", cut=True)
    assert found.note_on_cuts() == "1 of 4 replies reached max_new_tokens; they end with …"
    assert cells(found.markdown())[1][1] == "It is …"
    assert table().note_on_cuts() is None


def test_for_machines() -> None:
    found = json.loads(json.dumps(table("x").as_dict()))
    assert found["models"] == ["mx", "other"]
    assert found["prompts"][0] == {
        "id": "1",
        "source": "",
        "prompt": [{"role": "user", "content": "x"}],
        "replies": {"mx": {"text": "x", "cut": False}, "other": {"text": "", "cut": False}},
    }


def test_models_are_asked_the_same() -> None:
    tokenizers = [make_tokenizer(), make_tokenizer()]
    models = {
        name: (scripted(tokenizer, name), tokenizer) for name, tokenizer in zip(("Yes", "No"), tokenizers, strict=True)
    }
    found = test_model_with_questions(models, ["Open?", "Closed?"], system="Be short", max_new_tokens=2)
    assert {name: [reply.text for reply in replies] for name, replies in found.replies.items()} == {
        "Yes": ["Yes", "Yes"],
        "No": ["No", "No"],
    }
    assert [[message.content for message in each.prompt] for each in found.prompts] == [
        ["Be short", "Open?"],
        ["Be short", "Closed?"],
    ]
    assert turnpoint.test_model_with_questions is test_model_with_questions
    assert test_model_with_questions.__test__ is False  # type: ignore[attr-defined]  # no test of pytest's
