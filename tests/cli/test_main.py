"""The entry point: help at once, exit codes, what goes to stdout and what to stderr."""

import errno
import importlib
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import DIALOGUE, PAIR, Ran

from turnpoint.cli import main
from turnpoint.cli.given import Given

Run = Callable[..., Ran]
# The package's attribute `main` is the function, so the module comes by its name.
ENTRY = importlib.import_module("turnpoint.cli.main")


def test_help_names_every_verb_and_imports_nothing_slow() -> None:
    code = (
        "import sys; from turnpoint.cli import main; code = main(['--help']);"
        "slow = {'torch', 'transformers', 'datasets', 'rich', 'yaml'} & set(sys.modules); assert not slow, slow;"
        "sys.exit(code)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for verb in ("demo", "sft", "dpo", "evaluate", "inspect", "chat"):
        assert f"\n  {verb} " in ran.stdout
    assert ran.stderr == ""


def test_the_package_runs_as_a_module() -> None:
    ran = subprocess.run([sys.executable, "-m", "turnpoint", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("turnpoint 0.")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_no_words_are_help(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("usage: turnpoint VERB")


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["sft", "--help"], ["--max_length", "--overflow", "--learning_rate", "--use_peft", "--eval_dataset"]),
        (["dpo", "-h"], ["--reduction", "--gamma", "--margin", "--turns_from", "--lora_target_modules"]),
        (["evaluate", "decisions", "--help"], ["--per_kind", "--model", "--limit"]),
        (["inspect", "--help"], ["--show", "--max_length", "--json"]),
        (["chat", "--help"], ["--tools", "--temperature", "--max_new_tokens", "--compare", "--serve"]),
        (["export", "--help"], ["--output", "--format", "--dtype"]),
    ],
)
def test_help_of_each_verb(run: Run, words: list[str], fields: list[str]) -> None:
    ran = run(*words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"usage: turnpoint {words[0]} ")
    for name in fields:
        assert f"\n  {name}" in ran.out


def test_own_fields_stand_before_those_of_transformers(run: Run) -> None:
    own, heading, inherited = run("dpo", "--help").out.partition("\ntransformers.TrainingArguments")
    assert heading
    for name in ("--beta", "--learning_rate", "--output", "--num_train_epochs"):
        assert f"\n  {name}" in own
    for name in ("--warmup_steps", "--deepspeed", "--per_device_train_batch_size"):
        assert f"\n  {name}" in inherited


def fails_with(error: BaseException) -> Callable[[Given], None]:
    def fail(given: Given) -> None:
        raise error

    return fail


@pytest.fixture
def inspect_raises(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    def arrange(error: BaseException) -> None:
        monkeypatch.setattr("turnpoint.cli.inspect.run", fails_with(error))

    return arrange


def test_an_interrupt_is_one_line_and_130(run: Run, inspect_raises: Callable[[BaseException], None]) -> None:
    inspect_raises(KeyboardInterrupt())
    assert run("inspect", "data") == Ran(130, "", "interrupted\n")


def test_a_full_disk_anywhere_is_one_line(run: Run, inspect_raises: Callable[[BaseException], None]) -> None:
    inspect_raises(OSError(errno.ENOSPC, "No space left on device", "out/metrics.jsonl"))
    ran = run("inspect", "data")
    assert ran.code == 2
    assert ran.err == (
        "error: out/metrics.jsonl: cannot write: No space left on device; free some space or change --output\n"
    )


@pytest.mark.parametrize("error", [ValueError("ours"), OSError(errno.EIO, "broken")])
def test_faults_of_ours_keep_their_traceback(error: Exception, inspect_raises: Callable[[BaseException], None]) -> None:
    inspect_raises(error)
    with pytest.raises(type(error)):
        main(["inspect", "data"])


def test_a_reader_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    code = (
        "import sys, turnpoint.cli.inspect as verb; from turnpoint.cli import main;"
        "verb.run = lambda given: print('line\\n' * 100000, flush=True); sys.exit(main(['inspect', 'data']))"
    )
    ran = subprocess.run(
        f'"{sys.executable}" -c "{code}" | head -1',
        shell=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert ran.stdout == "line\n"
    assert ran.stderr == ""


def test_logs_of_the_package_go_to_stderr_while_a_verb_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def log(given: Given) -> None:
        logging.getLogger("turnpoint.somewhere").info("step 1 of 2")

    monkeypatch.setattr("turnpoint.cli.inspect.run", log)
    before = list(logging.getLogger("turnpoint").handlers)
    assert run("inspect", "data") == Ran(0, "", "step 1 of 2\n")
    assert logging.getLogger("turnpoint").handlers == before


def test_the_verbs_of_the_table_exist() -> None:
    for name, entry in ENTRY.VERBS.items():
        module = importlib.import_module(entry.module)
        assert module.VERB.name == name
        assert callable(module.run)


def test_data_of_the_tests_is_sound(run: Run, tmp_path: Path) -> None:
    for name, row in (("dialogue", DIALOGUE), ("pair", PAIR)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps([row]))
        assert run("inspect", str(path)).code == 0
