"""The examination as a whole: what is looked at, and in which order it is told."""

from tests.cli.tiny import tokenizer
from tests.doctor.builders import assistant, call, dialogue, found, pair, user

from turnpoint.doctor import Finding, Severity, examine, held, rows_of
from turnpoint.doctor.finding import Place, over_all, over_rows, ranked
from turnpoint.doctor.savings import Saving, grouping_pays
from turnpoint.template import Renderer, ensure_tool_template


def finding(severity: Severity, title: str, *sources: str) -> Finding:
    made = over_rows(severity, title, [Place(source) for source in sources], "mend it")
    return made or over_all(severity, title, 1, "mend it")


def test_findings_are_ranked_by_severity_and_then_by_their_share_of_the_rows() -> None:
    few = finding(Severity.WARNING, "few", "a:1")
    more = finding(Severity.WARNING, "more", "a:1", "a:1", "a:2")
    all_of_it = finding(Severity.WARNING, "the data as a whole")
    note = finding(Severity.NOTE, "note", "a:1", "a:2", "a:3")
    error = finding(Severity.ERROR, "error", "a:1")
    assert more.sources == ("a:1", "a:2")
    assert [more.share(4), all_of_it.share(4)] == [0.5, 1.0]
    assert ranked([note, few, more, all_of_it, error], 4) == (error, all_of_it, more, few, note)


def test_advice_comes_after_what_is_wrong() -> None:
    """The token tree could share more: that is about the data as a whole, and harms no row of it."""
    advice = over_all(Severity.NOTE, "advice", 1000, "try it", advice=True)
    note = finding(Severity.NOTE, "note", "a:1")
    assert ranked([advice, note], 4) == (note, advice)
    pays = grouping_pays(Saving(plain=13, tree=10, by_dialogue=7, speed_up=1.3, speed_up_by_dialogue=1.86))
    assert found(pays).advice


def test_every_finding_has_a_mend_and_tokens_are_counted_only_when_given() -> None:
    rows = [dialogue(user("Hi"), assistant("Hello"), user("Bye"), source="a:1"), dialogue(user("Hi"), source="a:2")]
    findings = examine(rows)
    assert findings[0].title == "dialogues without a scored turn"
    assert all(each.mend for each in findings)
    assert not any("token" in each.title for each in findings)
    made = tokenizer()
    ensure_tool_template(made)
    renderer = Renderer(made)
    titles = [each.title for each in examine(rows, rows_of(rows, renderer), 4, renderer)]
    assert "rows longer than max_length 4 tokens" in titles
    assert "rows with a side that has no scored token" in titles


def test_examine_judges_the_chosen_side_of_a_pair_as_a_dialogue_and_forgives_the_rejected() -> None:
    bad = call(town="Paris")
    titles = [f.title for f in examine([pair([bad], "No.", source="p:1")])]
    assert "calls without a required parameter" in titles
    titles = [f.title for f in examine([pair("No.", [bad], source="p:1")])]
    assert "calls without a required parameter" not in titles


def test_examine_looks_for_calls_written_out_on_the_chosen_side_alone() -> None:
    written = '<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>'
    for chosen, rejected, expected in ((written, "No.", True), ("No.", written, False)):
        titles = [each.title for each in examine([pair(chosen, rejected)])]
        assert ("calls written out as text" in titles) is expected


def test_examine_looks_for_rows_in_other_data() -> None:
    rows = [dialogue(user("Hi"), assistant("Hello"), source="a:1")]
    assert [each.title for each in examine(rows, others=[held("dev.jsonl", rows)])] == [
        "rows that stand in dev.jsonl as well",
        "1 of 1 tools are offered and never called",
    ]


def test_lengths_are_counted_in_tokens_where_there_are_any() -> None:
    rows = [pair("A" * 200, "B", source=f"p:{i}", prompt=f"Question {i}?") for i in range(9)]
    made = tokenizer()
    ensure_tool_template(made)
    renderer = Renderer(made)
    for findings, unit in ((examine(rows), "characters"), (examine(rows, rows_of(rows, renderer)), "scored tokens")):
        assert [unit in each.title for each in findings if "chosen is longer" in each.title] == [True]
