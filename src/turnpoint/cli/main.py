"""The entry point: finds the verb, reads its flags, runs it, and turns errors into exit codes.

A verb, of one word or of two, is a module of `turnpoint.cli` with two names, imported only when the verb is called:

- `VERB: Verb` (`turnpoint.cli.options`): its help line, its positional arguments, and the dataclasses whose fields
  are its flags (help text and unit in `field(metadata={"help": ...})`);
- `run(given: Given) -> None` (`turnpoint.cli.given`): does the work; `given.build(SomeDataclass)` returns that
  dataclass filled from flags and YAML. It prints results to stdout, progress to stderr, and raises `TurnpointError`.

Exit codes: 0 done; 1 `inspect --fail_on` found what it looks for; 2 a mistake the user can mend, one line on stderr;
130 interrupted. Other exceptions are faults of ours and keep their traceback.
"""

import errno
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import NamedTuple

from turnpoint.errors import CheckpointError, ConfigError, TurnpointError
from turnpoint.memory import keep_few_kernels


class _Entry(NamedTuple):
    module: str
    about: str


VERBS = {
    "demo": _Entry("turnpoint.cli.demo", "the main job on the embedded model and data"),
    "sft": _Entry("turnpoint.cli.sft", "fine-tune a model on dialogues"),
    "reward": _Entry("turnpoint.cli.reward", "train a reward model on preference pairs"),
    "dpo": _Entry("turnpoint.cli.dpo", "train a model on preference pairs"),
    "sample": _Entry("turnpoint.cli.sample", "several replies of a model to each prompt"),
    "pairs trajectories": _Entry("turnpoint.cli.pairs.trajectories", "preference pairs out of tool dialogues"),
    "pairs samples": _Entry("turnpoint.cli.pairs.samples", "preference pairs of what a model wrote"),
    "pairs rename": _Entry("turnpoint.cli.pairs.rename", "preference pairs that teach a model another name"),
    "pairs annotate": _Entry("turnpoint.cli.pairs.annotate", "preference pairs by hand, on a page on this machine"),
    "evaluate": _Entry("turnpoint.cli.evaluate", "measure the decisions of a model: call, slot, completion, relevance"),
    "evaluate reward": _Entry("turnpoint.cli.evaluate_reward", "how a reward model judges pairs it has not seen"),
    "evaluate preferences": _Entry(
        "turnpoint.cli.evaluate_preferences", "how a trained model ranks pairs, by its implicit rewards"
    ),
    "evaluate perplexity": _Entry("turnpoint.cli.evaluate_perplexity", "how well a model foresees held-out dialogues"),
    "evaluate compare": _Entry("turnpoint.cli.evaluate_compare", "replies of several models side by side"),
    "run": _Entry("turnpoint.cli.run", "the stages of a recipe, one after the other"),
    "inspect": _Entry("turnpoint.cli.inspect", "the data doctor: what is wrong with a data set and how to mend it"),
    "chat": _Entry("turnpoint.cli.chat", "talk to a model, tools included, or serve it"),
    "export": _Entry("turnpoint.cli.export", "one model in plain files: safetensors or GGUF"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words of the command line after `turnpoint`; None takes those of the process.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    keep_few_kernels()
    try:
        run_words(words)
    except TurnpointError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of stdout has gone (`turnpoint inspect DATA | head`); what Python flushes at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        place = error.filename or "output"
        return _fail(
            str(CheckpointError(f"{place}: cannot write: {error.strerror}; free some space or change --output"))
        )
    return 0


def run_words(words: list[str]) -> None:
    """Run one command, leaving errors to the caller."""
    if not words or words[0] in ("--help", "-h", "help"):
        print(_overview())
        return
    if words[0] == "--version":
        print(f"turnpoint {version('turnpoint')}")
        return
    name, rest = _verb(words)
    # Read here and not at the top, so that `turnpoint --help` answers at once.
    from turnpoint.cli.given import read_arguments
    from turnpoint.cli.usage import usage

    module = importlib.import_module(VERBS[name].module)
    if "--help" in rest or "-h" in rest:
        print(usage(module.VERB))
        return
    with _logs_on_stderr(), warnings.catch_warnings():
        # Of use to those who maintain the libraries; `python -W default -m turnpoint` shows them.
        if not sys.warnoptions:
            warnings.simplefilter("ignore", FutureWarning)
        module.run(read_arguments(module.VERB, rest))


def _verb(words: list[str]) -> tuple[str, list[str]]:
    """The verb that the words begin with, one word or two of them, and the words after it."""
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in VERBS:
            return name, words[length:]
    from turnpoint.cli.options import nearest

    if seconds := [verb.split()[1] for verb in VERBS if verb.startswith(f"{words[0]} ")]:
        given = f" (got {words[1]!r})" if len(words) > 1 and not words[1].startswith("-") else ""
        raise ConfigError(f"turnpoint {words[0]}: say what: {', '.join(seconds)}{given}")
    raise ConfigError(f"unknown verb {words[0]!r}; {nearest(words[0], VERBS)}")


@contextmanager
def _logs_on_stderr() -> Iterator[None]:
    """What the package logs while a verb runs, one line each, bare."""
    logger = logging.getLogger("turnpoint")
    if any(isinstance(each, logging.StreamHandler) for each in logger.handlers):  # those of a verb that runs this one
        yield
        return
    handler, level = logging.StreamHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _overview() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {entry.about}" for name, entry in VERBS.items())
    return (
        "usage: turnpoint VERB [DATA] [--config FILE.yaml] [--FIELD VALUE ...]\n\n"
        f"{verbs}\n\n"
        "`turnpoint VERB --help` shows every field with its unit and default. Every field is a flag and a key of the\n"
        "YAML file; flags win. Results go to stdout, progress to stderr; exit code 2 is a mistake you can mend."
    )


def _fail(line: str) -> int:
    print(f"error: {' '.join(line.split())}", file=sys.stderr)
    return 2
