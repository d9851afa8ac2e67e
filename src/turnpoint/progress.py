"""Progress bars: on stderr, where that is a terminal; they leave nothing behind."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


def with_progress(items: Sequence[Item], title: str | None) -> Iterable[Item]:
    """The items, one after the other, with a bar that counts them.

    Args:
        items: what is worked through.
        title: stands before the bar; None shows no bar.
    """
    bars = Console(stderr=True)
    return track(items, title or "", console=bars, transient=True, disable=title is None or not bars.is_terminal)


@contextmanager
def bars_of_transformers() -> Iterator[None]:
    """Within, the bars of transformers (loading and saving weights) show on a terminal only."""
    from transformers.utils import logging

    off = not sys.stderr.isatty() and logging.is_progress_bar_enabled()
    if off:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if off:
            logging.enable_progress_bar()
