"""Where a person's choices lie: on disk before they count, and as a file of pairs after each."""

import os
from pathlib import Path
from threading import Lock

from turnpoint.data import write_pairs
from turnpoint.errors import ConfigError, DataError
from turnpoint.pairs import Annotation, Choice, ChoicesFile


class Desk:
    """An annotation that is gone on with from the choices beside its pairs.

    Args:
        annotation: what is asked; it takes the choices that are there.
        output: file of the pairs, which holds what the choices say and nothing else.

    Raises:
        ConfigError: the file has other pairs, cannot be written, or another process writes it.
        DataError: a choice is about other samples.
    """

    def __init__(self, annotation: Annotation, output: Path) -> None:
        self.annotation, self.output = annotation, output
        self._lock = Lock()
        beside = output.with_name(f"{output.name}.choices.jsonl")
        if output.exists() and not beside.exists():
            raise ConfigError(f"output: {output} is there, and no {beside.name} of which it is made; name another file")
        try:
            self._choices = ChoicesFile(beside)
        except OSError as error:
            raise ConfigError(f"--output: cannot write {beside}: {error.strerror}; check the path") from None
        try:
            self._take_again()
            self._write()
        except BaseException:
            self._choices.close()
            raise

    def take(self, choice: Choice) -> None:
        """Take a choice, once it is on disk.

        Raises:
            DataError: it cannot be taken.
            OSError: a file cannot be written.
        """
        with self._lock:
            self.annotation.check(choice)
            self._choices.add(choice)
            self.annotation.take(choice)
            self._write()

    def close(self) -> None:
        """Wait for a choice that is being taken, and take no more."""
        self._lock.acquire()  # and kept: requests that come too late wait until the process ends
        self._choices.close()

    def _take_again(self) -> None:
        for number, choice in enumerate(self._choices.read(), start=1):
            try:
                self.annotation.take(choice)
            except DataError as error:
                raise DataError(
                    f"{self._choices.file}:{number}: {error}; give the samples of the choices, or another --output"
                ) from None

    def _write(self) -> None:
        """Put the pairs where they belong in one step; no pairs are no file, since none could be trained on."""
        if not (pairs := self.annotation.pairs):
            self.output.unlink(missing_ok=True)
            return
        aside = self.output.with_name(f"{self.output.name}.new")
        write_pairs(pairs, aside)
        with aside.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(aside, self.output)
