"""Results come in order, from several processes or from one, and end at the first error."""

import itertools
import os
import signal
from collections.abc import Iterator

import pytest

from turnpoint import workers
from turnpoint.errors import ConfigError, DataError
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
    assert list(map_in_order(double, range(count), processes)) == [2 * i for i in range(count)]


def test_the_work_is_done_elsewhere() -> None:
    assert os.getpid() not in set(map_in_order(process, range(200), 2))
    assert set(map_in_order(process, range(200), 1)) == {os.getpid()}


def test_processes_are_started_for_many_items_only() -> None:
    assert set(map_in_order(process, range(workers.FEW), 2)) == {os.getpid()}
    assert os.getpid() not in set(map_in_order(process, range(workers.FEW + 1), 2))


def test_where_forks_are_not_safe_all_runs_here_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert workers.cores_of_machine() == 1
    assert set(map_in_order(process, range(workers.FEW + 1), 1)) == {os.getpid()}
    assert not caplog.messages
    assert set(map_in_order(process, range(workers.FEW + 1), 4)) == {os.getpid()}
    assert caplog.messages == ["4 processes are asked for and 1 is used: only Linux forks safely"]


def test_ranks_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert workers.cores_of_rank() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert (workers.cores_of_rank(), workers.cores_of_machine()) == (2, 8)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert workers.cores_of_rank() == 1


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_error_ends_the_results(processes: int) -> None:
    results: Iterator[int] = map_in_order(refuse_seventy, range(200), processes)
    seen = []
    with pytest.raises(DataError, match="row 70: is refused"):
        for result in results:
            seen.append(result)
    assert seen == list(range(70))


@pytest.mark.parametrize("processes", [1, 2])
def test_items_are_taken_a_few_ahead_of_the_results(processes: int) -> None:
    taken = itertools.count()
    results = map_in_order(double, taken, processes)
    assert [next(results) for _ in range(10)] == list(range(0, 20, 2))
    assert next(taken) <= 10 + processes * workers._WAITING
    results.close()


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_process_that_is_killed_is_one_line() -> None:
    with pytest.raises(ConfigError, match="one of 2 processes was killed, most likely for want of memory; lower"):
        list(map_in_order(die, range(20), 2))
