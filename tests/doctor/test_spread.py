"""How numbers are spread, by hand."""

import pytest

from turnpoint.doctor.spread import Spread, drawn, spread


def test_percentiles_are_numbers_of_the_data() -> None:
    """Of four numbers the second is the median and the fourth the 90th percentile: ranks 4 * .5 and 4 * .9, up."""
    assert spread([4, 1, 2, 1]) == Spread(least=1, median=1, p90=4, p99=4, most=4, bins=(2, 1, 0, 1))
    hundred = spread(range(1, 101))
    assert hundred is not None
    assert (hundred.least, hundred.median, hundred.p90, hundred.p99, hundred.most) == (1, 50, 90, 99, 100)
    assert (len(hundred.bins), sum(hundred.bins)) == (24, 100)
    assert spread([]) is None


def test_ranges_are_of_equal_width_and_hold_both_ends() -> None:
    """48 numbers in 24 ranges: two each."""
    found = spread(range(48))
    assert found is not None
    assert found.bins == (2,) * 24


@pytest.mark.parametrize(
    ("bins", "line"),
    [((2, 1, 0, 1), "█▄ ▄"), ((8, 7, 1), "█▇▁"), ((1000, 1), "█▁"), ((5,), "█"), ((), "")],
)
def test_bins_as_columns_of_text(bins: tuple[int, ...], line: str) -> None:
    assert drawn(bins) == line
