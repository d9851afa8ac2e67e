"""`turnpoint pairs annotate` as a process of its own, a client that knows its token, and samples for it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from tests.cli.conftest import TOOL

from turnpoint.pairs import Samples


class Annotating(NamedTuple):
    address: str
    client: httpx.Client
    process: "subprocess.Popen[str]"

    def state(self) -> dict[str, Any]:
        told: dict[str, Any] = self.client.get("/state").raise_for_status().json()
        return told

    def replies(self, prompt: int) -> list[str]:
        return [each["text"] for each in self.client.get(f"/prompts/{prompt}").raise_for_status().json()["replies"]]

    def choose(self, prompt: int, chosen: str, rejected: str) -> httpx.Response:
        """Choose among the replies to a prompt by what they say."""
        shown = self.replies(prompt)
        places = {"chosen": shown.index(chosen), "rejected": shown.index(rejected)}
        return self.client.post("/choices", json={"prompt": prompt, "verdict": "pair", **places})


@contextmanager
def annotating(samples: Path, output: Path, *words: str) -> Iterator[Annotating]:
    """The server on a free port, once it has said where, and a client that knows the token."""
    command = [sys.executable, "-m", "turnpoint", "pairs", "annotate", str(samples), "--output", str(output)]
    command += ["--port", "0", "--no_browser", *words]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            ready = re.fullmatch(rf"annotate {samples} at ((http://127\.0\.0\.1:\d+)/#(\S+)) \(Ctrl-C ends\)\n", line)
            assert ready is not None, line + process.stderr.read()
            with httpx.Client(base_url=ready[2], headers={"X-Turnpoint-Token": ready[3]}, timeout=60) as client:
                yield Annotating(ready[1], client, process)
        finally:
            process.kill()


def write_samples(file: Path, *prompts: Sequence[str | dict[str, Any]]) -> Path:
    """Prompts about the weather with replies of these texts, or calls of these tools."""
    rows = []
    for number, replies in enumerate(prompts):
        messages = [
            {"role": "assistant", "content": each} if isinstance(each, str) else {"role": "assistant", **each}
            for each in replies
        ]
        row = Samples.model_validate(
            {
                "id": f"d#{number}",
                "prompt": [{"role": "user", "content": f"Weather in Paris on day {number}?"}],
                "tools": [TOOL],
                "gold": [{"role": "assistant", "content": "It is sunny."}],
                "replies": [{"text": "", "message": message} for message in messages],
                "source": f"d.jsonl:{number}",
            }
        )
        rows.append(json.dumps(row.row()) + "\n")
    file.write_text("".join(rows), encoding="utf-8")
    return file
