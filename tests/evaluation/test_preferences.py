"""What pairs come to, worked out by hand; and the file that a source names."""

import numpy as np
import pytest

from turnpoint.data.rows import file_of
from turnpoint.evaluation.preferences import PreferenceReport, RankedPair, length_bias, means_of


def pair(chosen: float, rejected: float, source: str = "a.jsonl:1", kind: str = "", tokens: int = 3) -> RankedPair:
    return RankedPair(source, kind, chosen, rejected, -2 * chosen - 8, -6.0, tokens, 2)


def test_means_of_four_pairs() -> None:
    """Margins 3, 0, -1 and 2: two of four are right, as equal rewards are wrong. In order -1, 0, 2, 3.

    Percentile p lies at place 3 p / 100: 5 at 0.15, -0.85; 25 at 0.75, -0.25; 50 at 1.5, 1; 75 at 2.25, 2.25; 95 at
    2.85, 2.85.
    """
    means = means_of([pair(1, -2), pair(0.5, 0.5), pair(-1, 0), pair(2, 0)])
    assert (means.pairs, means.accuracy, means.margin) == (4, 0.5, 1.0)
    assert (means.chosen_reward, means.rejected_reward) == (0.625, -0.375)
    assert means.percentiles == pytest.approx((-0.85, -0.25, 1.0, 2.25, 2.85))
    assert (means.chosen_logp, means.rejected_logp) == (-9.25, -6.0)
    assert means.length_bias is None
    assert list(means.metrics()) == [
        "rewards/accuracies",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margins",
        *(f"rewards/margins/p{percentile}" for percentile in (5, 25, 50, 75, 95)),
        "logps/chosen",
        "logps/rejected",
        "length_bias",
    ]


def test_length_bias_by_hand() -> None:
    """Margins m and lengths l of four pairs, each four times.

    m = 1, 2, 3, 4 and l = 1, 3, 2, 4: deviations (-1.5, -0.5, 0.5, 1.5) and (-1.5, 0.5, -0.5, 1.5), whose products
    add up to 4 and whose squares to 5 each: 4 / 5.
    """
    margins, lengths = np.tile([1.0, 2.0, 3.0, 4.0], 4), np.tile([1.0, 3.0, 2.0, 4.0], 4)
    assert length_bias(margins, lengths) == pytest.approx(0.8)
    assert length_bias(-margins, lengths) == pytest.approx(-0.8)
    assert length_bias(margins[:15], lengths[:15]) is None
    assert length_bias(margins, np.ones(16)) is None
    assert length_bias(np.ones(16), lengths) is None
    ranked = [pair(margin, 0, tokens=2 + int(length)) for margin, length in zip(margins, lengths, strict=True)]
    assert means_of(ranked).length_bias == pytest.approx(0.8)


def test_groups_by_kind_and_by_file() -> None:
    report = PreferenceReport(
        [
            pair(1, 0, "b.jsonl:9", "call"),
            pair(0, 1, "a.json[3]", "slot"),
            pair(2, 0, "b.jsonl:2: samples 1", "call"),
            pair(3, 0, "row 4", "slot"),
        ],
        loss=0.25,
        left_out={"too long": ["b.jsonl:7"]},
    )
    assert {name: (each.pairs, each.accuracy) for name, each in report.by_kind.items()} == {
        "call": (2, 1.0),
        "slot": (2, 0.5),
    }
    assert {name: each.margin for name, each in report.by_file.items()} == {"b.jsonl": 1.5, "a.json": -1.0, "": 3.0}
    found = report.as_dict()
    assert (found["pairs"], found["loss"], found["rewards/accuracies"]) == (4, 0.25, 0.75)
    assert found["by_kind"]["slot"]["rewards/margins"] == 1.0
    assert found["left_out"] == {"too long": ["b.jsonl:7"]}
    assert found["items"][1]["source"] == "a.json[3]"


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("data.jsonl:12", "data.jsonl"),
        ("data.json[12]", "data.json"),
        ("data[1].json:12 message 4", "data[1].json"),
        ("a b.parquet[0] (chosen)", "a b.parquet"),
        ("liked.jsonl:1 and liked.jsonl:2", "liked.jsonl"),
        ("s.jsonl:3: samples 2", "s.jsonl"),
        ("row 12", ""),
        ("", ""),
    ],
)
def test_the_file_that_a_source_names(source: str, file: str) -> None:
    assert file_of(source) == file
