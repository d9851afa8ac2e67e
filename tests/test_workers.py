"""Results come in order, from several processes or from one, and end at the first error."""

import os
from collections.abc import Iterator

import pytest

from turnpoint import workers
from turnpoint.errors import DataError
from turnpoint.workers import map_in_order


def double(number: int) -> int:
    return 2 * number


def process(number: int) -> int:
    return os.getpid()


def refuse_seventy(number: int) -> int:
    if number == 70:
        raise DataError("row 70: is refused")
    return number


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 200])
def test_results_are_in_order(processes: int, count: int) -> None:
    assert list(map_in_order(double, range(count), processes=processes)) == [2 * i for i in range(count)]


def test_the_work_is_done_elsewhere() -> None:
    assert os.getpid() not in set(map_in_order(process, range(200), processes=2))
    assert set(map_in_order(process, range(200), processes=1)) == {os.getpid()}


def test_processes_are_started_for_many_items_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_cores", lambda: 2)
    assert set(map_in_order(process, range(workers._MANY - 1))) == {os.getpid()}
    assert os.getpid() not in set(map_in_order(process, range(workers._MANY)))


def test_where_forks_are_not_safe_all_runs_here_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert set(map_in_order(process, range(workers._MANY))) == {os.getpid()}
    assert not caplog.messages
    assert set(map_in_order(process, range(5), processes=4)) == {os.getpid()}
    assert caplog.messages == ["4 processes are asked for and 1 is used: only Linux forks safely"]


def test_ranks_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert workers._cores() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert workers._cores() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert workers._cores() == 1


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_error_ends_the_results(processes: int) -> None:
    results: Iterator[int] = map_in_order(refuse_seventy, range(200), processes=processes)
    seen = []
    with pytest.raises(DataError, match="row 70: is refused"):
        for result in results:
            seen.append(result)
    assert seen == list(range(len(seen)))  # what came before it in its chunk may be lost with it
    assert len(seen) == (70 if processes == 1 else 64)
