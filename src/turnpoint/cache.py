"""What is kept between runs: models that were converted, tokenised data, log-probs of references."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_DIGEST_BYTES = 16


def cache_folder() -> Path:
    """`$TURNPOINT_CACHE`, or `turnpoint` under the user's cache folder."""
    named = os.environ.get("TURNPOINT_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "turnpoint"


def digest(parts: Iterable[bytes]) -> str:
    """Hash of parts, and of where each ends."""
    found = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()


@contextmanager
def made_whole(entry: Path) -> Iterator[Path]:
    """A folder aside that gets the name of an entry once all its files are on disk; the first of two processes wins.

    Who may read the cache may read the entry. After an error nothing is left.

    Raises:
        OSError: it cannot be written.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".", dir=entry.parent))
    try:
        aside.chmod(entry.parent.stat().st_mode)
        yield aside
        for file in aside.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        try:
            aside.rename(entry)
        except OSError:
            if not entry.exists():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
