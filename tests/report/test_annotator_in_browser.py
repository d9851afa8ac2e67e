"""The page to annotate on, as a person uses it in Chromium, by keys and the mouse; skipped where there is none."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.cli.annotating import Annotating, annotating, write_samples
from tests.report.browser import CHROMIUM, Page, browser

from turnpoint.data import load_pairs

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH")

HOSTILE = (
    "</textarea></script><img src=x onerror=\"document.title='ran'\"><script>document.title='ran'</script>\u202eabc"
)
ASK = "document.getElementById('ask').textContent"
PLACE = "document.getElementById('jump').value"
SAID = "[...document.querySelectorAll('.reply .said')].map((each) => each.textContent)"
MARKS = "[...document.querySelectorAll('.reply .side')].map((each) => each.textContent)"


class Desk(NamedTuple):
    page: Page
    server: Annotating
    output: Path

    def texts(self) -> list[str]:
        """The replies on view, in their order."""
        texts: list[str] = self.page.value(SAID)
        return texts

    def keys(self, *keys: str) -> None:
        """Press keys, each once the page has taken the one before."""
        for key in keys:
            self.page.press(key, f"Digit{key}" if key.isdecimal() else "")
            self.page.wait("!state.busy")

    def at(self, place: str) -> None:
        self.page.wait(f"!state.busy && {PLACE} === '{place}'")

    def pairs(self) -> list[tuple[str | None, str | None]]:
        if not self.output.exists():
            return []
        return [(pair.chosen[0].content, pair.rejected[0].content) for pair in load_pairs(self.output)[0]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Three prompts: two with three replies, one with eleven."""
    many = [f"{number}." for number in range(11)]
    samples = write_samples(tmp_path / "s.jsonl", ("Good.", "Bad.", "So."), ("Yes.", "No.", HOSTILE), many)
    output = tmp_path / "p.jsonl"
    with annotating(samples, output) as server, browser(tmp_path / "browser") as page:
        page.open(server.address)
        page.wait("document.querySelectorAll('.reply').length === 3")
        yield Desk(page, server, output)


def test_two_numbers_make_a_pair_and_lead_on(desk: Desk) -> None:
    shown = desk.texts()
    assert sorted(shown) == ["Bad.", "Good.", "So."]
    assert desk.page.value(ASK) == "Press the number of the better reply."
    desk.keys("3")
    assert desk.page.value(MARKS) == ["", "", "✓ chosen"]
    assert desk.page.value(ASK) == "Now press the number of a reply that is worse than reply 3."
    assert desk.pairs() == []
    desk.keys("1")
    desk.at("2")
    assert desk.pairs() == [(shown[2], shown[0])]
    assert desk.page.value(ASK) == "Saved: prompt 1, reply 3 over reply 1. Press the number of the better reply."
    assert desk.page.value("at('counts').textContent") == "1 done (1 pair, 0 ties) · 0 skipped · 2 left"


def test_what_was_pressed_is_taken_back(desk: Desk) -> None:
    """The same number once more, or u: first the number just pressed, then the choice before."""
    desk.keys("2", "2")
    assert desk.page.value(MARKS) == ["", "", ""]
    desk.keys("2", "u")
    assert desk.page.value(MARKS) == ["", "", ""]
    desk.keys("1", "2", "2", "u", "u")
    desk.at("1")
    assert (desk.pairs(), desk.page.value(ASK)) == ([], "Taken back. Press the number of the better reply.")
    desk.keys("u")
    assert desk.page.value(ASK) == "nothing was chosen that could be taken back"


def test_skipping_ties_and_going_back_and_forth(desk: Desk) -> None:
    """The first is skipped, the second a tie, the last a pair of the tenth and the eleventh; then the first again."""
    desk.keys("s")
    desk.at("2")
    desk.keys("t")
    desk.at("3")
    desk.keys("ArrowLeft")
    assert desk.page.value(ASK) == "A tie before; numbers choose anew."
    desk.keys("ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowLeft", "n")
    desk.at("3")
    shown = desk.texts()
    desk.keys("0")
    desk.page.click(".reply:last-child > button")
    desk.page.wait("document.querySelector('.empty')")
    assert desk.pairs() == [(shown[9], shown[10])]
    assert "Nothing is left. 1 prompt skipped: press n to go through it." in desk.page.value("document.body.innerText")
    desk.keys("1", "s", "t")
    assert desk.server.state()["verdicts"] == ["skip", "tie", "pair"], "there is nothing to choose among"
    desk.keys("n")
    desk.at("1")
    first = desk.texts()
    desk.keys("1", "2")
    desk.page.wait("document.querySelector('.empty')")
    assert desk.pairs() == [(first[0], first[1]), (shown[9], shown[10])]


def test_the_mouse_does_what_keys_do(desk: Desk) -> None:
    shown = desk.texts()
    desk.page.click(".reply:nth-child(2) .said")
    desk.page.click(".reply:nth-child(3) > button")
    desk.at("2")
    desk.page.click("#undo")
    desk.at("1")
    desk.page.click(".reply:nth-child(1)")
    desk.page.click(".reply:nth-child(2)")
    desk.at("2")
    assert desk.pairs() == [(shown[0], shown[1])]
    desk.page.click("#skip")
    desk.at("3")
    desk.page.click("#previous")
    desk.at("2")
    desk.page.click("#tie")
    desk.at("3")
    assert desk.server.state()["verdicts"] == ["pair", "tie", None]


def test_keys_of_other_layouts(desk: Desk) -> None:
    """On a Korean layout s gives another letter, on a French one the first number key gives &."""
    desk.page.press("ㄴ", "KeyS")
    desk.at("2")
    desk.page.press("&", "Digit1")
    desk.page.wait("!state.busy")
    assert desk.page.value(MARKS) == ["✓ chosen", "", ""]
    desk.page.press("o", "KeyS")
    assert desk.page.value(PLACE) == "2", "an o is no s, wherever it stands"


def test_keys_are_listed(desk: Desk) -> None:
    desk.keys("?")
    assert desk.page.value("at('keys').open") is True
    desk.keys("1", "s")
    assert desk.server.state()["verdicts"] == [None, None, None], "keys are for the list now"
    desk.keys("?")
    assert (desk.page.value("at('keys').open"), desk.page.value(MARKS)) == (False, ["", "", ""])


def test_a_number_to_go_to_is_no_choice(desk: Desk) -> None:
    desk.page.click("#jump")
    desk.page.value("at('jump').select()")
    desk.keys("3")
    desk.page.press("Enter", "Enter")
    desk.page.value("at('jump').blur()")
    desk.page.wait("document.querySelectorAll('.reply').length === 11")
    assert desk.page.value("state.picked") is None


def test_nothing_that_a_reply_says_runs(desk: Desk) -> None:
    desk.keys("s")
    desk.at("2")
    assert HOSTILE in desk.texts()
    assert desk.page.value("document.querySelectorAll('img, main script').length") == 0
    assert desk.page.value("document.title") == "p.jsonl · turnpoint pairs annotate"
    run = "const made = document.createElement('script'); made.textContent = \"document.title = 'ran'\";"
    assert desk.page.value(f"(() => {{ {run} document.body.append(made); return document.title; }})()") != "ran"


def test_a_reload_goes_on_and_a_server_that_is_gone_is_said(desk: Desk) -> None:
    desk.keys("1", "2")
    desk.at("2")
    desk.page.value("window.left = true; location.reload()")
    desk.page.wait("!window.left && !state.busy && state.prompt !== null")
    desk.at("2")
    desk.keys("ArrowLeft")
    assert desk.page.value(MARKS) == ["✓ chosen", "✕ rejected", ""]
    desk.server.process.kill()
    desk.server.process.wait(60)
    desk.keys("s")
    assert desk.page.value(ASK) == (
        "Nothing is saved: turnpoint does not answer. Start it again and open the address that it prints."
    )
    [line] = (desk.output.parent / "p.jsonl.choices.jsonl").read_text().splitlines()
    assert json.loads(line)["verdict"] == "pair"


def test_a_page_without_the_token_shows_nothing(desk: Desk) -> None:
    desk.page.value("location.hash = ''")
    desk.page.wait(f"typeof state === 'object' && !state.busy && {ASK}.includes('token')")
    assert desk.page.value(ASK) == "the token is missing or not that of this server; open the address that it printed"
    assert desk.texts() == []
