"""DPO against a peer: `python -m benchmarks.dpo --peer trl --cases a b c`.

Each run is a process of its own; peers take turns, so that a slow hour of the machine slows all of them. First the
losses of a few steps in float32 have to agree. The reference is computed before the steps on both sides, unless a
peer runs at its defaults; the time that takes is reported beside the steps. The first step of a run warms up and does
not count.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.cases import cases
from benchmarks.models import SHAPES

PAIRS = 8  # of an optimiser step
AGREEMENT = 1e-4
_OPTIONS = {"free": "padding_free", "liger": "use_liger_kernel"}


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default="trl", choices=["trl", "none"])
    parser.add_argument("--cases", nargs="+", default=["a", "b", "c"])
    parser.add_argument("--hh_rlhf", help="JSONL file of Anthropic/hh-rlhf, for case d")
    parser.add_argument("--steps", type=int, default=4, help="optimiser steps of a run, the first of which warms up")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each contender")
    parser.add_argument(
        "--splits",
        nargs="+",
        default=["1x8", "2x4", "4x2", "8x1", "default"],
        help="of TRL: batch x accumulation with the reference cached, or `default` for its own settings; with"
        " +flash, +free, +liger for flash attention, rows without padding and the kernels of Liger",
    )
    parser.add_argument("--model", default="demo", choices=["demo", *SHAPES], help="random weights but for demo")
    parser.add_argument("--tokenizer", default="demo", help="a folder with it, where the demo model is not installed")
    parser.add_argument("--length", type=int, help="tokens that prompts are lengthened to")
    given = parser.parse_args()
    if unknown := [case for case in given.cases if case not in cases(given.hh_rlhf)]:
        parser.error(f"--cases {' '.join(unknown)}: known are {' '.join(cases(''))}; d needs --hh_rlhf FILE")
    options = {option for split in given.splits for option in split.split("+")[1:]}
    if unknown := sorted(options - {"flash", *_OPTIONS}):
        parser.error(f"--splits: unknown option {unknown[0]!r}; known are flash, {', '.join(_OPTIONS)}")
    if "flash" in options and given.model == "demo":
        parser.error("--splits: +flash needs a GPU and --model with random weights")
    if given.hh_rlhf is not None and not Path(given.hh_rlhf).is_file():
        parser.error(f"--hh_rlhf {given.hh_rlhf}: no such file; it is one of Anthropic/hh-rlhf, unpacked")
    print(f"Python {platform.python_version()}, torch {version('torch')}, transformers {version('transformers')}")
    weights = {"name": given.model, "tokenizer": given.tokenizer}
    if given.peer == "trl":
        _check_losses(weights if given.model == "demo" else weights | {"name": "tiny", "dtype": "float32"})
    common = {"steps": given.steps, "hh_rlhf": given.hh_rlhf, "length": given.length}
    for case in given.cases:
        jobs = {"turnpoint": {"peer": "turnpoint", "settings": {"bf16": True}, "load": weights}}
        jobs |= {f"TRL {split}": _job_of_trl(split, weights) for split in given.splits if given.peer == "trl"}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
        for _ in range(given.rounds):
            for name, job in jobs.items():
                found[name].append(_run({"case": case, "pairs": PAIRS} | common | job))
        _show(case, found)


def _job_of_trl(split: str, weights: dict[str, str]) -> dict[str, Any]:
    numbers, *options = split.split("+")
    settings: dict[str, Any] = {"bf16": True}
    if numbers != "default":
        batch, accumulation = map(int, numbers.split("x"))
        settings |= {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        settings["precompute_ref_log_probs"] = True
    settings |= {_OPTIONS[name]: True for name in options if name != "flash"}
    flash = {"attention": "flash_attention_2"} if "flash" in options else {}
    return {"peer": "trl", "settings": settings, "load": weights | flash}


def _check_losses(weights: dict[str, str]) -> None:
    """The losses of three steps in float32, the reference computed at each step, are the same."""
    settings = {"learning_rate": 1e-5, "precompute_ref_log_probs": False, "bf16": False}
    job = {"case": "a", "steps": 3, "pairs": 2, "settings": settings, "load": weights}
    ours, theirs = (_run(job | {"peer": peer})["losses"] for peer in ("turnpoint", "trl"))
    worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    print(f"losses of {len(ours)} steps in float32 differ by at most {worst:.1e}: {ours} {theirs}")
    if worst > AGREEMENT:
        sys.exit(f"losses differ by more than {AGREEMENT}: the two do not compute the same")


def _run(job: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "benchmarks.runs", json.dumps(job)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{job}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{job}: {[round(each, 2) for each in result['seconds']]}, {result['peak_gb']:.2f} GB", file=sys.stderr)
    return result


def _show(case: str, found: dict[str, list[dict[str, Any]]]) -> None:
    """One row a contender. TFLOP/s are six for each weight and each token of each sequence, however it was computed."""
    print(
        f"\ncase {case}\n\n"
        "| | s / step | spread | pairs / s | tokens / s | TFLOP/s | before the steps, s | peak GB | ratio |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    ours = statistics.median(second for run in found["turnpoint"] for second in run["seconds"][1:])
    for name, runs in found.items():
        seconds = [second for run in runs for second in run["seconds"][1:]]
        step = statistics.median(seconds)
        tokens = runs[0]["tokens"] / len(runs[0]["seconds"])
        print(
            f"| {name} | {step:.2f} | {min(seconds):.2f} to {max(seconds):.2f} | {PAIRS / step:.2f} |"
            f" {tokens / step:.0f} | {6 * runs[0]['weights'] * tokens / step / 1e12:.2f} |"
            f" {statistics.median(run['before'] for run in runs):.1f} |"
            f" {statistics.median(run['peak_gb'] for run in runs):.1f} | {step / ours:.1f} |"
        )


if __name__ == "__main__":
    main()
