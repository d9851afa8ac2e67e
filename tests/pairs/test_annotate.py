"""Choices of a person, and the pairs of them, followed by hand."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.pairs.dialogues import CALLS, WEATHER, calls, says, user

from turnpoint.dialogue import Message, parse
from turnpoint.errors import ConfigError, DataError
from turnpoint.pairs import Annotation, Choice, ChoicesFile, SampledReply, Samples, Verdict

A, B, C = says("A"), says("B"), says("C")
GOLD = CALLS.messages[1:]


def drawn(*messages: Message | None, id: str = "p", cut: Sequence[int] = ()) -> Samples:
    return Samples(
        prompt=CALLS.messages[:1],
        tools=CALLS.tools,
        gold=GOLD,
        replies=tuple(SampledReply(text="", message=each, cut=i in cut) for i, each in enumerate(messages)),
        id=id,
        dialogue_id="calls",
        opening=CALLS.key,
        source="f:1",
    )


def key(annotation: Annotation, message: Message, id: str = "p") -> str:
    [ways] = [each.ways for each in annotation.asked if each.drawn.id == id]
    [way] = [way for way in ways if way.message.said == message.said]
    return way.key


def over(annotation: Annotation, chosen: Message, rejected: Message, id: str = "p") -> Choice:
    sides = (key(annotation, side, id) for side in (chosen, rejected))
    return Choice(id=id, verdict=Verdict.PAIR, **dict(zip(("chosen", "rejected"), sides, strict=True)))


def skip(id: str = "p") -> Choice:
    return Choice(id=id, verdict=Verdict.SKIP)


def undo(id: str = "p") -> Choice:
    return Choice(id=id, verdict=Verdict.UNDO)


def sides(annotation: Annotation) -> list[tuple[str | None, str | None]]:
    return [(pair.chosen[0].content, pair.rejected[0].content) for pair in annotation.pairs]


def test_a_pair_says_what_it_was_made_of() -> None:
    annotation = Annotation([drawn(A, B)])
    annotation.take(over(annotation, B, A))
    [pair] = annotation.pairs
    assert (pair.chosen, pair.rejected, pair.prompt, pair.tools) == ((B,), (A,), CALLS.messages[:1], (WEATHER,))
    assert (pair.id, pair.kind, pair.about["row"]) == ("p annotate 1", "annotated", "annotate")
    assert (pair.dialogue_id, pair.key, pair.source) == ("calls", CALLS.key, "f:1: annotate 1")


def test_the_last_choice_of_a_prompt_counts_and_undo_brings_the_one_before_back() -> None:
    """p: A over B, then skipped, then B over A; q: a tie. Taken back one by one from the end."""
    annotation = Annotation([drawn(A, B), drawn(A, C, id="q"), drawn(B, C, id="r")])
    tie = Choice(id="q", verdict=Verdict.TIE)
    for choice in (over(annotation, A, B), skip(), over(annotation, B, A), tie):
        annotation.take(choice)
    seen = [(sides(annotation), list(annotation.counts().values()))]
    for id in ("q", "p", "p", "p"):
        annotation.take(undo(id))
        seen.append((sides(annotation), list(annotation.counts().values())))
    assert seen == [  # pairs, ties, skipped, left
        ([("B", "A")], [1, 1, 0, 1]),
        ([("B", "A")], [1, 0, 0, 2]),
        ([], [0, 0, 1, 2]),
        ([("A", "B")], [1, 0, 0, 2]),
        ([], [0, 0, 0, 3]),
    ]
    assert annotation.last is None


def test_pairs_stand_in_the_order_of_the_samples() -> None:
    annotation = Annotation([drawn(A, B), drawn(A, C, id="q")])
    annotation.take(over(annotation, C, A, "q"))
    annotation.take(over(annotation, B, A))
    assert sides(annotation) == [("B", "A"), ("C", "A")]


def test_the_order_of_the_replies_is_drawn_for_each_prompt() -> None:
    """Each of three replies stands first in a third of 300 prompts, 100 ± 25 (three deviations of 8.2)."""
    samples = [drawn(A, B, C, id=str(i)) for i in range(300)]
    orders = [[way.message.content for way in each.ways] for each in Annotation(samples, seed=1).asked]
    assert all(75 < sum(order[0] == first for order in orders) < 125 for first in "ABC")
    assert orders == [[way.message.content for way in each.ways] for each in Annotation(samples, seed=1).asked]
    assert orders != [[way.message.content for way in each.ways] for each in Annotation(samples, seed=2).asked]
    alone = [way.message.content for way in Annotation(samples[7:8], seed=1).asked[0].ways]
    assert alone == orders[7], "whatever stands before it"


def test_what_the_data_says_is_offered_by_its_first_message_and_once() -> None:
    annotation = Annotation([drawn(A, B), drawn(A, GOLD[0], id="q")], gold=True)
    assert [len(each.ways) for each in annotation.asked] == [3, 2]
    annotation.take(over(annotation, GOLD[0], A))
    [pair] = annotation.pairs
    assert (pair.chosen, pair.rejected) == (GOLD[:1], (A,))


def test_a_choice_of_what_the_data_says_stays_where_it_is_not_offered() -> None:
    """With gold the prompt had two ways; without it has one, and is not asked any more."""
    before = Annotation([drawn(A)], gold=True)
    choice = over(before, GOLD[0], A)
    after = Annotation([drawn(A)])
    assert after.asked == []
    after.take(choice)
    assert [pair.chosen for pair in after.pairs] == [GOLD[:1]]
    assert after.counts() == {"pairs": 1, "ties": 0, "skipped": 0, "left": 0}


def test_what_is_not_asked_is_counted() -> None:
    annotation = Annotation([drawn(A, A, None, B, cut=[3]), drawn(A, id="q"), drawn(id="r")])
    assert annotation.left_out == {
        "a reply: stands twice": 1,
        "a reply: is empty": 1,
        "a prompt: has fewer than two replies that differ": 2,
    }
    [asked] = annotation.asked
    assert {way.message.content: way.cut for way in asked.ways} == {"A": False, "B": True}


def test_a_better_reply_that_calls_an_unknown_tool_makes_no_pair() -> None:
    wrong = calls("cinema", city="Paris")
    annotation = Annotation([drawn(A, wrong)])
    with pytest.raises(DataError, match=r"^f:1: annotate 1: chosen\[0\] calls unknown tool 'cinema'"):
        annotation.take(over(annotation, wrong, A))
    assert annotation.last is None
    annotation.take(over(annotation, A, wrong))
    assert [pair.rejected for pair in annotation.pairs] == [(wrong,)]


def test_choices_mean_replies_wherever_they_stand_now() -> None:
    """The file has grown, its replies are others in number and order, and the seed is another."""
    before = Annotation([drawn(A, B)])
    choice = over(before, B, A)
    after = Annotation([drawn(C, A, id="new"), drawn(C, B, A)], seed=5)
    after.take(choice)
    assert sides(after) == [("B", "A")]


@pytest.mark.parametrize(
    "now",
    [
        drawn(A, B, id="q"),
        drawn(A, C),
        drawn(A, B).model_copy(update={"prompt": (user("Another question?"),)}),
        drawn(A, B).model_copy(update={"tools": ()}),
    ],
    ids=["no such prompt", "no such reply", "another question", "other tools"],
)
def test_a_choice_about_something_else_is_not_taken(now: Samples) -> None:
    before = Annotation([drawn(A, B)])
    after = Annotation([now])
    with pytest.raises(DataError, match="a choice is about 'p', which the samples do not hold, or not with these rep"):
        after.take(over(before, A, B))


def test_only_what_was_said_last_is_taken_back() -> None:
    annotation = Annotation([drawn(A, B), drawn(A, C, id="q")])
    with pytest.raises(DataError, match="undo: 'p' is not what was chosen last; nothing is taken back"):
        annotation.take(undo())
    annotation.take(skip("q"))
    with pytest.raises(DataError, match="undo: 'p' is not"):
        annotation.take(undo())


def test_ids_tell_prompts_apart() -> None:
    with pytest.raises(
        DataError, match=r"^f:1: id: 'p' stands twice; give each prompt of the samples an id of its own"
    ):
        Annotation([drawn(A, B), drawn(A, C)])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"verdict": "pair", "chosen": "a"}, r"a pair has both, a pair has none \(got \['a'\]\)"),
        ({"verdict": "tie", "chosen": "a"}, r"a pair has both, a tie has none \(got \['a'\]\)"),
        ({"verdict": "pair", "chosen": "a", "rejected": "a"}, r"are the same reply \(got \['a', 'a'\]\)"),
        ({"verdict": "best"}, "verdict: "),
    ],
)
def test_a_choice_is_whole(fields: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse(Choice, {"id": "p", **fields}, "f:1")


def test_a_file_of_choices_is_gone_on_with(tmp_path: Path) -> None:
    """Killed while the second line was being written: the first stands, and the next comes after it."""
    choices = [Choice(id="p", verdict=Verdict.PAIR, chosen="a", rejected="b"), skip("날씨"), undo("날씨")]
    path = tmp_path / "folder" / "c.jsonl"
    file = ChoicesFile(path)
    file.add(choices[0])
    file.close()
    with path.open("ab") as cut:
        cut.write(b'{"id": "q", "verd')
    file = ChoicesFile(path)
    assert file.read() == choices[:1]
    file.add(choices[1])
    file.add(choices[2])
    assert file.read() == choices
    file.close()


def test_one_process_at_a_time_adds_choices(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    first = ChoicesFile(path)
    with pytest.raises(
        ConfigError, match=r"c\.jsonl: another process adds to it; end that one, or give another --output"
    ):
        ChoicesFile(path)
    first.close()
    ChoicesFile(path).close()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "c.jsonl:1: not JSON: "),
        ("[1]", r"c.jsonl:1: is no choice \(got \[1\]\); `turnpoint pairs annotate` writes such a file"),
        ('{"id": "p"}', "c.jsonl:1: verdict: "),
    ],
)
def test_a_line_that_is_no_choice(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(f"{line}\n")
    file = ChoicesFile(path)
    with pytest.raises(DataError, match=message):
        file.read()
    file.close()


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ChoicesFile(tmp_path / "c.jsonl")
    file.add(skip())

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            file.add(skip("q"))
    assert file.read() == [skip()]
    file.add(skip("r"))
    assert file.read() == [skip(), skip("r")]
    file.close()
