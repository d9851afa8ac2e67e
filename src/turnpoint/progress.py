"""Progress bars: on stderr, where that is a terminal; elsewhere a line now and then."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 20.0


def tell(to: logging.Logger, line: str) -> None:
    """Log what a user waits for; onto stderr where nobody listens to the log, as in a script without set-up."""
    if to.isEnabledFor(logging.INFO):
        to.info("%s", line)
    else:
        print(line, file=sys.stderr)


def with_progress(
    items: Iterable[Item], title: str | None, *, total: int | None = None, bar: bool = True
) -> Iterable[Item]:
    """The items, one after the other, with a bar that counts them and leaves nothing behind, or lines in the log.

    Args:
        items: what is worked through.
        title: stands before the bar; None shows nothing.
        total: how many there are, where `items` do not tell.
        bar: whether a terminal shows a bar; False writes lines there too.
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    bars = Console(stderr=True)
    if title is None or (bar and bars.is_terminal):
        return track(items, title or "", total, console=bars, transient=True, disable=title is None)
    return _with_lines(items, title, total)


def _with_lines(items: Iterable[Item], title: str, total: int | None) -> Iterator[Item]:
    said = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - said >= _SECONDS_BETWEEN_LINES:
            tell(logger, f"{title}: {done}" + ("" if total is None else f" of {total}"))
            said = time.monotonic()
        yield item


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
