"""What tells the user that something goes on, on a terminal and elsewhere."""

import logging

import pytest

from turnpoint import progress


def test_elsewhere_than_on_a_terminal_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = iter(range(0, 100, 8))  # seconds; each look at the clock takes eight
    monkeypatch.setattr("turnpoint.progress.time.monotonic", lambda: next(now))
    caplog.set_level(logging.INFO, logger="turnpoint")
    assert list(progress.with_progress("abcdefg", "Log-probs")) == list("abcdefg")
    assert [record.message for record in caplog.records] == ["Log-probs: 2 of 7", "Log-probs: 5 of 7"]


def test_without_a_title_nothing_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    caplog.set_level(logging.INFO, logger="turnpoint")
    assert list(progress.with_progress("ab", None)) == ["a", "b"]
    assert not caplog.records
