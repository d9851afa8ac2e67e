"""Files that are written line by line, by processes that may be killed on the way."""

import os
from pathlib import Path


def whole_lines(file: Path) -> list[bytes]:
    """The lines of a file; the last one is taken away where it was cut off."""
    raw = file.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        with file.open("r+b") as lines:
            lines.truncate(len(whole))
            os.fsync(lines.fileno())
    return whole.splitlines()
