"""The inspector's page as Chromium draws it; skipped where there is none."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.doctor.builders import assistant, dialogue, pair, user
from tests.report.inspected import HOSTILE, hostile, inspected, several_turns, with_image

from turnpoint.dialogue import PreferencePair, parse
from turnpoint.doctor import Finding, Severity

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH")

Draw: TypeAlias = Callable[..., str]
Ask: TypeAlias = Callable[..., Any]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Opens a page and gives what its document has become, as HTML."""

    def opened(page: str, address: str = "") -> str:
        file = tmp_path / "page.html"
        file.write_text(page, encoding="utf-8")
        command = [
            str(CHROMIUM),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1400,900",
            f"--user-data-dir={tmp_path / 'browser'}",
            "--virtual-time-budget=2000",
            "--dump-dom",
            f"{file.as_uri()}{address}",
        ]
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()

    return opened


@pytest.fixture
def ask(draw: Draw) -> Ask:
    """Opens a page, runs a script there once it is drawn, and gives what the script returns."""

    def answer(page: str, script: str, address: str = "") -> Any:
        reply = f"document.body.dataset.answer = JSON.stringify((() => {{{script}}})())"
        dom = draw(without_policy(page).replace("</body>", f"<script>{reply}</script></body>"), address)
        found = re.search(r'data-answer="([^"]*)"', dom)
        assert found is not None, "the script failed"
        return json.loads(html.unescape(found[1]))

    return answer


def without_policy(page: str) -> str:
    """The page without the policy that keeps foreign scripts from running."""
    made, count = re.subn("<meta http-equiv=[^>]*>", "", page)
    assert count == 1
    return made


TEXTS = "const texts = (of) => [...document.querySelectorAll(of)].map((each) => each.textContent);"
MOVE = "const move = (id, to) => { at(id).value = to; at(id).dispatchEvent(new Event('input')); };"


@pytest.mark.parametrize("address", ["#1", "#2"])
def test_nothing_that_the_data_say_runs(draw: Draw, address: str) -> None:
    """Without the policy, so that it is the writing of the page that holds."""
    dom = draw(without_policy(inspected(hostile()).page), address)
    assert "<title>rows.jsonl · turnpoint inspect</title>" in dom
    assert "<img" not in dom
    assert html.escape(HOSTILE.split("\u2028")[0], quote=False) in dom, "and yet it is shown"


def test_the_policy_lets_the_page_itself_run(draw: Draw) -> None:
    dom = draw(inspected([several_turns()]).page)
    assert ">1 pair · " in dom
    assert "t = 2 of T" not in dom
    assert "t = 1 of T = 2" in dom


def test_weights_follow_gamma_and_where_turns_are_counted_from(ask: Ask) -> None:
    """Shares of the shared turn at gamma 0.5: .412 of three turns, .6 of two; it is pushed down."""
    script = f"""{TEXTS} {MOVE}
        const weights = () => texts('.weights').filter(Boolean);
        const seen = [weights()];
        move('gamma', 20);
        seen.push(weights());
        move('gamma', 0);
        seen.push(weights());
        move('gamma', 10);
        document.querySelector('[value=dialogue]').click();
        seen.push(weights(), texts('.number'));
        return seen;"""
    assert ask(inspected([several_turns()]).page, script) == [
        ["φ 1.000", "φ 0.667", "φ 1.000"],
        ["φ 1.000", "φ 0.500", "φ 1.000"],
        ["φ 1.000", "φ 1.000", "φ 1.000"],
        ["chosen φ 1.000rejected φ 1.000net \N{MINUS SIGN}0.188", "φ 0.857", "φ 0.571", "φ 0.667"],
        ["t = 0 of T = 3", "t = 1 of T = 3", "t = 2 of T = 3", "t = 1 of T = 2"],
    ]


def test_every_token_is_shown_in_its_place(ask: Ask) -> None:
    made = inspected([several_turns()])
    script = """document.querySelector('[value=tokens]').click();
        return [...document.querySelectorAll('.block')].map(
            (block) => [...block.querySelectorAll('.token')].map((each) => each.textContent).join(''));"""
    shared, chosen, rejected = ask(made.page, script)
    assert shared + chosen == made.renderer.text(several_turns().side("chosen"))
    assert shared + rejected == made.renderer.text(several_turns().side("rejected"))
    assert shared.endswith("<|im_start|>assistant\n")


def test_a_finding_leaves_its_rows(ask: Ask) -> None:
    records = [several_turns(f"p.jsonl:{i}") for i in (1, 2, 3)]
    finding = Finding(
        severity=Severity.NOTE, title="odd", count=2, rows=(), sources=("p.jsonl:2", "p.jsonl:3"), mend=""
    )
    script = f"""{TEXTS}
        const button = document.querySelector('.finding');
        button.click();
        const seen = [texts('.item .place'), texts('h2'), texts('#left'), location.hash];
        button.click();
        return [...seen, texts('.item .place').length];"""
    places = ["p.jsonl:2", "p.jsonl:3"]
    assert ask(inspected(records, [finding]).page, script) == [places, ["p.jsonl:2"], ["2 of 3"], "#2", 3]


def test_search_and_choices_leave_rows(ask: Ask) -> None:
    records = [
        pair("It is sunny.", "Which city?", prompt="Paris?", source="p.jsonl:1"),
        pair("Which city?", "It is sunny.", prompt="Rome?", source="p.jsonl:2"),
        pair("It is rainy.", "Which city?", prompt="Rome?", source="p.jsonl:3"),
    ]
    script = f"""{TEXTS}
        state.query = 'rome'; filter();
        const seen = [texts('.item .place')];
        const chosen = document.querySelector('[aria-label=chosen]');
        chosen.value = 'slot'; chosen.onchange();
        seen.push(texts('.item .place'), [...CSS.highlights.get('found')].map(String));
        state.query = 'nowhere'; filter();
        return [...seen, texts('#row')];"""
    assert ask(inspected(records).page, script) == [
        ["p.jsonl:2", "p.jsonl:3"],
        ["p.jsonl:2"],
        ["Rome"],
        ["No row passes the filters."],
    ]


def test_keys_and_addresses_lead_to_rows(ask: Ask) -> None:
    records = [several_turns(f"p.jsonl:{i}") for i in (1, 2, 3)]
    script = f"""{TEXTS}
        const key = (name) => document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: name, bubbles: true}}));
        const seen = [...texts('h2')];
        for (const name of ['j', 'j', 'k', 'k']) {{ key(name); seen.push(...texts('h2')); }}
        at('jump').value = 3; at('jump').onchange();
        return [...seen, ...texts('h2'), location.hash];"""
    shown = ["p.jsonl:2", "p.jsonl:3", "p.jsonl:3", "p.jsonl:2", "p.jsonl:1", "p.jsonl:3", "#3"]
    assert ask(inspected(records).page, script, "#2") == shown


def test_of_many_rows_those_in_view_are_drawn(ask: Ask) -> None:
    """Rows of 48 pixels in a window of 900; the last is in view once it is gone to."""
    page = inspected([pair("It is sunny.", "Which city?", source=f"p.jsonl:{i}") for i in range(1, 301)], []).page
    script = f"""{TEXTS}
        const drawn = texts('.item').length;
        go(299);
        return [drawn, texts('.item .place').at(-1), texts('[aria-current=true] .place')];"""
    drawn, last, current = ask(page, script)
    assert 10 < drawn < 30
    assert (last, current) == ("p.jsonl:300", ["p.jsonl:300"])


def test_a_refused_row_says_why(ask: Ask) -> None:
    page = inspected([dialogue(with_image(), assistant("Which city?"))]).page
    shown = ask(page, f"{TEXTS} return [texts('.error-line'), texts('.image'), texts('#counts'), texts('.said')];")
    assert shown[0] == [
        "refused: d.jsonl:1: images: a tokenizer reads none; name a model that reads images, or give its processor as"
        " processing_class in Python"
    ]
    assert shown[1:] == [
        ["▧ image"],
        ["1 dialogue · 0 tokens · 0 scored · 1 refused"],
        ["Look: ▧ image", "Which city?"],
    ]


def test_reasoning_is_folded_and_says_whether_it_is_scored(ask: Ask) -> None:
    """Left out by the template, scored, in a turn that is not trained on, and in one of a prompt."""
    thought = "<think>They greet.</think>Hello"
    rows = [
        dialogue(user("Hi"), assistant("Hello", reasoning="They greet."), source="d.jsonl:1"),
        dialogue(user("Hi"), assistant(thought), source="d.jsonl:2"),
        dialogue(user("Hi"), assistant(thought, train=False), user("Hi"), assistant("Hello"), source="d.jsonl:3"),
    ]
    script = f"""{TEXTS}
        return data.rows.map((_, i) => {{
            go(i);
            const folded = document.querySelectorAll('.reasoning');
            return [texts('.reasoning > summary'), texts('.reasoning > .said'), [...folded].map((each) => each.open)];
        }});"""
    folded = [["They greet."], [False]]
    assert ask(inspected(rows).page, script) == [
        [["reasoning, left out by the chat template"], *folded],
        [["reasoning, scored"], *folded],
        [["reasoning, not scored"], *folded],
    ]
    prompt = [user("Hi"), assistant(thought), user("Weather?")]
    sides = {"chosen": [assistant("Sunny.")], "rejected": [assistant("No.")]}
    page = inspected([parse(PreferencePair, {"prompt": prompt, **sides}, "p.jsonl:1")]).page
    of_prompt = f"""{TEXTS}
        const seen = texts('.reasoning > summary');
        document.querySelector('[value=dialogue]').click();
        return [...seen, ...texts('.reasoning > summary')];"""
    assert ask(page, of_prompt) == ["reasoning, not scored", "reasoning, scored"]


def test_a_token_says_what_it_is_under_the_pointer(ask: Ask) -> None:
    made = inspected([several_turns()])
    script = """const last = [...document.querySelectorAll('.token')].at(-1);
        last.dispatchEvent(new Event('pointerover', {bubbles: true}));
        return [at('tip').hidden, at('tip').textContent];"""
    end = made.renderer.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert ask(made.page, script) == [False, f'{end}  "<|im_end|>"']
