"""`turnpoint pairs annotate SAMPLES`: a page on which a person picks the better and the worse reply to each prompt."""

import os
import signal
import sys
import webbrowser
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from turnpoint.cli.given import Given
from turnpoint.cli.groups import OutputOptions
from turnpoint.cli.loading import say
from turnpoint.cli.options import Verb
from turnpoint.cli.output import print_json
from turnpoint.cli.pairs.annotate_server import AnnotateServer
from turnpoint.cli.pairs.desk import Desk
from turnpoint.cli.pairs.writing import say_left_out
from turnpoint.cli.signals import hear
from turnpoint.errors import DataError
from turnpoint.pairs import Annotation, Built, read_samples


@dataclass(frozen=True, kw_only=True)
class AnnotateOptions(OutputOptions):
    """What to choose among."""

    samples: str = field(metadata={"help": "file that `turnpoint sample` wrote"})
    output: str = field(
        metadata={
            "help": "JSONL file of the pairs; FILE.choices.jsonl beside it holds each choice, and is gone on with"
        }
    )
    gold: bool = field(
        default=False, metadata={"help": "offer what the data says among the replies, its first message, unmarked"}
    )
    seed: int = field(default=0, metadata={"help": "of the order of the replies, which differs from prompt to prompt"})
    port: int = field(default=8765, metadata={"help": "to listen on, on 127.0.0.1 alone; 0 takes a free one"})
    browser: bool = field(default=True, metadata={"help": "open the page in a browser, where there is a display"})


VERB = Verb(
    name="pairs annotate",
    about=(
        "Preference pairs by hand: a page on this machine shows each prompt with its replies, and keys pick the better"
        " and the worse one. Every choice is saved at once; stopped or killed, the same command goes on. Ctrl-C ends."
    ),
    groups={"Annotation": AnnotateOptions},
    positional=("samples",),
)


def run(given: Given) -> None:
    """Serve the page until Ctrl-C, then count."""
    options = given.build(AnnotateOptions)
    samples = list(read_samples(Path(options.samples).expanduser()))
    annotation = Annotation(samples, gold=options.gold, seed=options.seed)
    if not annotation.asked:
        raise DataError(f"{options.samples}: no prompt has two replies that differ; draw more with `turnpoint sample`")
    say_left_out(Built([], annotation.left_out))
    with (
        closing(Desk(annotation, Path(options.output).expanduser())) as desk,
        AnnotateServer(options.port, desk) as server,
    ):
        hear(signal.SIGINT, signal.SIGTERM)
        say(f"annotate {options.samples} at {server.address} (Ctrl-C ends)")
        with suppress(KeyboardInterrupt):
            if options.browser and _has_display():
                webbrowser.open(server.address)
            server.serve_forever()
    _report(options, annotation)


def _has_display() -> bool:
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _report(options: AnnotateOptions, annotation: Annotation) -> None:
    counts = annotation.counts()
    if options.json:
        print_json({"output": options.output, **counts})
    else:
        print(f"{options.output}: {', '.join(f'{name} {count}' for name, count in counts.items())}")
