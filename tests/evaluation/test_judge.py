"""A judge, played by answers written by hand: what it is asked, and what becomes of its verdicts; rubrics."""

import json
from pathlib import Path
from string import Template

import pytest
from tests.evaluation.replies import FORECAST, called, user, written
from tests.sampling.test_server import said, serving

from turnpoint.dialogue import Decision, ToolCall
from turnpoint.errors import ConfigError
from turnpoint.evaluation import DecisionItem, DecisionReport, Verdict, grade, strict
from turnpoint.evaluation.judge import RUBRICS, Judge, prompt, read_rubrics
from turnpoint.sampling import ChatServer, Reply

SLOT = Decision.SLOT
LATER = (ToolCall(name="get_weather", arguments={"city": "Paris", "date": "tomorrow"}),)
ITEM = DecisionItem((user("Weather in Paris?"),), (FORECAST,), SLOT, LATER, "hand:1 message 1", said="For which day?")


def verdict(reply: str, item: DecisionItem = ITEM) -> Verdict:
    return strict(item, Reply(reply, cut=False))


def judge(*answers: str) -> tuple[Judge, list[str]]:
    left, heard = list(answers), []

    def ask(text: str) -> str:
        heard.append(text)
        return left.pop(0)

    return Judge("small", ask, read_rubrics(None)), heard


def test_the_judge_decides_where_the_rules_are_not_sure() -> None:
    sure, unsure = verdict(written("get_weather", city="Paris")), verdict("Which outfit will you wear?")
    assert (sure.sure, unsure.sure, unsure.passed) == (True, False, False)
    asked, heard = judge('Well. {"reason": "it asks for\\nthe day", "passed": true}')
    found = asked.judged([sure, unsure])
    assert len(heard) == 1
    assert found.verdicts[0] == sure
    assert found.verdicts[1].passed
    assert (found.verdicts[1].by_rules, found.verdicts[1].decided) == (False, SLOT)
    assert found.verdicts[1].reason == "judge: it asks for\nthe day"
    assert found.unread == 0


@pytest.mark.parametrize("answer", ["It passes.", "{}", '{"passed": "yes"}', '{"passed": tru}', ""])
def test_an_answer_without_a_verdict_leaves_the_rules_theirs(answer: str) -> None:
    asked, _ = judge(answer)
    unsure = verdict("Which outfit will you wear?")
    found = asked.judged([unsure])
    assert (found.verdicts, found.unread) == ([unsure], 1)


def test_the_last_verdict_of_an_answer_counts() -> None:
    asked, _ = judge('{"reason": "first thought", "passed": true} No: {"reason": "asks nothing", "passed": false}')
    [found] = asked.judged([verdict("Which outfit will you wear?")]).verdicts
    assert (found.passed, found.reason) == (False, "judge: asks nothing")


def test_agreement_is_over_what_was_judged() -> None:
    """Two of three agree; the rules say no, no, yes and the judge no, yes, yes: kappa (2/3 − 4/9) / (5/9) = 0.4."""
    wrong = verdict("Which outfit will you wear?")
    context = (user("파리 날씨?"), *called("get_weather", "sunny", city="Paris"))
    right = grade(DecisionItem(context, (FORECAST,), Decision.COMPLETION, (), "hand"), Reply("맑습니다.", cut=False))
    asked, _ = judge(*(json.dumps({"reason": "", "passed": each}) for each in (False, True, True)))
    agreed = DecisionReport(asked.judged([wrong, wrong, right]).verdicts).agreement()
    assert agreed is not None
    assert agreed._asdict() == {"turns": 3, "rate": pytest.approx(2 / 3), "kappa": pytest.approx(0.4)}
    assert DecisionReport([wrong]).agreement() is None


def test_what_the_judge_reads() -> None:
    text = prompt(verdict("Which outfit will you wear?"), read_rubrics(None)[SLOT])
    for part in (
        "so a question for them is due",
        '"name": "get_weather"',
        '{"role": "user", "content": "Weather in Paris?"}',
        'For which day? (so that later: [{"name": "get_weather", "arguments": {"city": "Paris", "date": "tomorrow"}}])',
        "Which outfit will you wear?",
        'Answer with one JSON object and nothing else, the reason first, in one sentence: {"reason"',
    ):
        assert part in text
    assert "$" not in text


def test_a_judge_behind_a_server() -> None:
    with serving((200, said('{"reason": "fine", "passed": true}'))) as (url, heard):
        server = ChatServer(url, "small")
        asked = Judge("small", lambda text: server.reply([{"role": "user", "content": text}]), read_rubrics(None))
        [found] = asked.judged([verdict("Which outfit will you wear?")]).verdicts
    assert found.reason == "judge: fine"
    assert "Which outfit will you wear?" in heard[0]["messages"][0]["content"]


def test_rubrics_of_ones_own_take_the_place_of_some(tmp_path: Path) -> None:
    (tmp_path / "slot.md").write_text("Is $reply good after $context? It costs $$1.")
    own, shipped = read_rubrics(str(tmp_path)), read_rubrics(None)
    assert own[SLOT].substitute(reply="a", context="b") == "Is a good after b? It costs $1."
    assert own[Decision.CALL].template == (RUBRICS / "call.md").read_text()
    prints = [Judge("small", str, rubrics).fingerprint for rubrics in (own, shipped, read_rubrics(None))]
    assert prints[0] != prints[1] == prints[2]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "holds none of call.md, slot.md, relevance.md, completion.md; give a folder with at least one of them"),
        ("Is $reply good?", "slot.md: context: a rubric holds $tools, $context, $due, $reply, at least $context and"),
        ("$context $reply $answer", "slot.md: answer: a rubric holds"),
        ("$context $reply for 5$", "slot.md: $: a rubric holds"),
    ],
)
def test_rubrics_that_cannot_be_used(tmp_path: Path, text: str | None, line: str) -> None:
    if text is not None:
        (tmp_path / "slot.md").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_rubrics(str(tmp_path))
    assert str(error.value).startswith(f"rubrics: {tmp_path}") and line in str(error.value)


def test_the_shipped_rubrics_name_all_that_is_put_in() -> None:
    for template in read_rubrics(None).values():
        assert set(Template(template.template).get_identifiers()) == {"tools", "context", "due", "reply"}
