"""The file of what a person chose: a line for each choice, on disk before it counts."""

import errno
import json
import os
import sys
from io import FileIO
from pathlib import Path

from turnpoint.dialogue import parse
from turnpoint.errors import ConfigError, DataError
from turnpoint.pairs.annotate import Choice
from turnpoint.pairs.lines import whole_lines


class ChoicesFile:
    """A file of choices, open to one process at a time.

    Args:
        file: JSON lines; made where it is missing, its folder too.

    Raises:
        ConfigError: another process has it open.
        OSError: it cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._log = FileIO(file, "ab")
        try:
            _lock(self._log)
        except BlockingIOError:
            self._log.close()
            raise ConfigError(f"{file}: another process adds to it; end that one, or give another --output") from None

    def read(self) -> list[Choice]:
        """The choices so far; a line that was cut off is taken away.

        Raises:
            DataError: a line is no choice.
        """
        return [_choice(line, f"{self.file}:{number}") for number, line in enumerate(whole_lines(self.file), start=1)]

    def add(self, choice: Choice) -> None:
        """Write a choice, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        line = json.dumps(choice.model_dump(mode="json", exclude_none=True)).encode() + b"\n"
        before = os.fstat(self._log.fileno()).st_size
        try:
            if self._log.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._log.fileno())
        except OSError:
            self._log.truncate(before)
            raise

    def close(self) -> None:
        """Let another process add to the file."""
        self._log.close()


def _lock(file: FileIO) -> None:
    """Keep other processes from locking the file, for as long as this one has it open. Windows has no such lock."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _choice(line: bytes, where: str) -> Choice:
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}; `turnpoint pairs annotate` writes such a file") from None
    if not isinstance(raw, dict):
        raise DataError(f"{where}: is no choice (got {raw!r}); `turnpoint pairs annotate` writes such a file")
    return parse(Choice, raw, where)
