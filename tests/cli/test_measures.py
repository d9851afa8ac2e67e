"""`turnpoint evaluate preferences`, `perplexity` and `compare` on tiny models: what they measure against, and print."""

import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.conftest import DIALOGUE, PAIR, Ran, assistant, user
from tests.cli.tiny import save_model
from transformers import AutoModelForCausalLM

from turnpoint.cli import evaluate_compare
from turnpoint.cli.loading import open_weights
from turnpoint.data import load_pairs
from turnpoint.models import load_model_and_tokenizer
from turnpoint.objectives import Objective
from turnpoint.template import ensure_tool_template
from turnpoint.training import evaluate_preferences

Run = Callable[..., Ran]
Rows = Callable[..., str]

CHAT = {"prompt": [user("Hi")], "chosen": [assistant("It is sunny.")], "rejected": [assistant("No.")], "kind": "chat"}
TRAINED = ["--max_steps", "1", "--save_strategy", "no", "--learning_rate", "1e-2"]
ADAPTER = ["--use_peft", "--lora_r", "2", "--lora_target_modules", "q_proj", "v_proj"]


@pytest.fixture
def other(tmp_path: Path) -> str:
    """The tiny model with other weights."""
    folder = save_model(tmp_path / "other")
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return str(folder)


def test_preferences_against_a_stated_reference(run: Run, rows: Rows, model: str, other: str, tmp_path: Path) -> None:
    """What is printed is what the function in Python gives; a file holds all of it."""
    data, file = rows(PAIR, CHAT), tmp_path / "out" / "all.json"
    words = ("evaluate", "preferences", other, data, "--reference", model, "--beta", "0.5")
    ran = run(*words, "--output", str(file))
    assert ran.code == 0, ran.err
    for words_of_table in ("preferences, 2 pairs", "rewards/margins/p95", "by kind", "length_bias", "logps/rejected"):
        assert words_of_table in ran.out
    assert "by file" not in ran.out  # there is one
    found = json.loads(run(*words, "--json").out)
    assert found == json.loads(file.read_text(encoding="utf-8"))
    (policy, tokenizer), (reference, _) = (load_model_and_tokenizer(name) for name in (other, model))
    ensure_tool_template(tokenizer)
    pairs, _ = load_pairs(data)
    report = evaluate_preferences(policy, tokenizer, pairs, reference=reference, objective=Objective(beta=0.5))
    assert found["rewards/margins"] == pytest.approx(report.means.margin, abs=1e-6)
    assert abs(report.means.margin) > 1e-3
    assert {kind: each["pairs"] for kind, each in found["by_kind"].items()} == {"": 1, "chat": 1}


def test_the_run_says_what_it_started_from(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    data, folder = rows(PAIR, CHAT), tmp_path / "run"
    assert run("dpo", data, "--model", model, "--output", str(folder), *TRAINED).code == 0
    ran = run("evaluate", "preferences", str(folder), data, "--json")
    assert ran.code == 0, ran.err
    line = f"reference: {model}, from which the run of {folder} started ({folder / 'config.yaml'})"
    assert line in ran.err.splitlines()
    stated = run("evaluate", "preferences", str(folder), data, "--json", "--reference", model)
    assert (stated.out, "reference:" in stated.err) == (ran.out, False)

    (folder / "config.yaml").write_text("model: gone/nowhere\n")
    ran = run("evaluate", "preferences", str(folder), data)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(
        f"error: reference: gone/nowhere, which config.yaml of {folder} says that the run started from, cannot be"
        " loaded (model gone/nowhere: "
    )


# peft reads a property that this version of transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_is_measured_against_what_its_run_started_from(
    run: Run, rows: Rows, model: str, tmp_path: Path
) -> None:
    """A new adapter against the model below it; an adapter that a second run trained on, against the first run's."""
    data, first, second = rows(PAIR, CHAT), tmp_path / "first", tmp_path / "second"
    assert run("dpo", data, "--model", model, "--output", str(first), *TRAINED, *ADAPTER).code == 0
    ran = run("evaluate", "preferences", str(first), data, "--json")
    assert ran.code == 0, ran.err
    assert f"reference: {model}, below the adapter of {first}" in ran.err.splitlines()
    stated = run("evaluate", "preferences", str(first), data, "--json", "--reference", model)
    assert json.loads(ran.out)["rewards/margins"] == pytest.approx(json.loads(stated.out)["rewards/margins"], abs=1e-6)

    assert run("dpo", data, "--model", str(first), "--output", str(second), *TRAINED).code == 0
    ran = run("evaluate", "preferences", str(second), data, "--json")
    line = f"reference: {first}, from which the run of {second} started ({second / 'config.yaml'})"
    assert line in ran.err.splitlines()
    below = run("evaluate", "preferences", str(second), data, "--json", "--reference", model)
    assert json.loads(ran.out)["rewards/margins"] != json.loads(below.out)["rewards/margins"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            (),
            "reference: is missing, and loss 'sigmoid' measures against one; name the model that training started from",
        ),
        (("--loss_type", "simpo", "--reference", "demo"), "reference: loss 'simpo' reads none; leave it out"),
        (("--beta", "0"), "DPOConfig: beta: must be a number above 0 (got 0.0); 0.1 is usual"),
        (("--output", "/dev/null/x.json"), "--output: cannot write /dev/null/x.json: File exists; check the path"),
        (("--learning_rate", "1"), "--learning_rate: unknown for `turnpoint evaluate preferences`"),
    ],
)
def test_preferences_that_cannot_be_measured(
    run: Run, rows: Rows, model: str, words: tuple[str, ...], line: str
) -> None:
    ran = run("evaluate", "preferences", model, rows(CHAT), *words)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"error: {line}")


def test_a_loss_without_a_reference(run: Run, rows: Rows, model: str) -> None:
    """SimPO's reward is beta times the mean log-prob of a token, below 0."""
    ran = run("evaluate", "preferences", model, rows(CHAT), "--loss_type", "simpo", "--beta", "2", "--json")
    assert ran.code == 0, ran.err
    [item] = json.loads(ran.out)["items"]
    assert item["chosen_reward"] == pytest.approx(2 * item["chosen_logp"] / item["chosen_tokens"], rel=1e-5)


def test_perplexity(run: Run, rows: Rows, model: str, tmp_path: Path) -> None:
    data, file = rows(DIALOGUE, DIALOGUE), tmp_path / "all.json"
    ran = run("evaluate", "perplexity", model, data, "--output", str(file))
    assert ran.code == 0, ran.err
    for words in ("perplexity, 2 dialogues", "by decision", "completion", "nats a token"):
        assert words in ran.out
    found = json.loads(run("evaluate", "perplexity", model, data, "--json").out)
    assert found == json.loads(file.read_text(encoding="utf-8"))
    assert (found["turns"], found["by_kind"]["call"]["turns"]) == (4, 2)

    mixed = tmp_path / "mix.yaml"
    text = rows({"text": "It is sunny in Paris."}, name="t.jsonl")
    mixed.write_text(f"- data: {data}\n- data: {text}\n")
    ran = run("evaluate", "perplexity", model, str(mixed), "--max_length", "100")
    assert ran.code == 0, ran.err
    assert "by file" not in ran.out  # the other file is left out
    assert "left out 2: longer than max_length 100 (data.jsonl:1, data.jsonl:2)" in ran.err.splitlines()
    assert "by file" in run("evaluate", "perplexity", model, str(mixed)).out


def test_models_are_compared(run: Run, rows: Rows, model: str, other: str, tmp_path: Path) -> None:
    data, page, notes = rows(DIALOGUE), tmp_path / "c.html", tmp_path / "c.md"
    asked = "Hi, which city <b>is</b> it?"  # a comma in a single question is no separator
    words = ("evaluate", "compare", data, "--models", model, other, "--questions", asked, "--max_new_tokens", "4")
    ran = run(*words, "--html", str(page), "--markdown", str(notes))
    assert ran.code == 0, ran.err
    assert "tool: sunny" in ran.out
    assert asked in ran.out
    assert asked not in page.read_text(encoding="utf-8")
    assert "Hi, which city &lt;b&gt;is&lt;/b&gt; it?" in page.read_text(encoding="utf-8")
    assert notes.read_text(encoding="utf-8").count("\n") == 4
    found = json.loads(run(*words, "--json").out)
    assert found["models"] == [model, other]
    assert [each["prompt"][-1]["content"] for each in found["prompts"]] == ["sunny", asked]
    drawn = [json.loads(run(*words, "--json", "--temperature", "2", "--seed", seed).out) for seed in ("1", "1", "2")]
    assert drawn[0] == drawn[1] != drawn[2]


def test_questions_of_a_text_file(run: Run, model: str, tmp_path: Path) -> None:
    file = tmp_path / "ask.txt"
    file.write_text("Weather in Paris?\n\n  Hi, there  \n", encoding="utf-8")
    words = ("--models", model, "--max_new_tokens", "2", "--json", "--system", "Be short")
    found = json.loads(run("evaluate", "compare", str(file), *words).out)
    assert [[message["content"] for message in each["prompt"]] for each in found["prompts"]] == [
        ["Be short", "Weather in Paris?"],
        ["Be short", "Hi, there"],
    ]
    file.write_bytes(b"\n")
    assert run("evaluate", "compare", str(file), *words).err == f"error: {file}: holds no question; write one a line\n"
    file.write_bytes(b"ab\xff\n")
    assert "byte 2 is not UTF-8; save the file as UTF-8" in run("evaluate", "compare", str(file), *words).err
    assert run("evaluate", "compare", str(tmp_path / "no.txt"), *words).err == (
        f"error: {tmp_path / 'no.txt'}: cannot be read: No such file or directory; check the path\n"
    )


def test_one_model_is_in_memory_at_a_time(run: Run, model: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[weakref.ref[Any]] = []

    def watched(options: Any) -> Any:
        assert not any(each() for each in loaded)
        found = open_weights(options)
        loaded.append(weakref.ref(found))
        return found

    monkeypatch.setattr(evaluate_compare, "open_weights", watched)
    ran = run("evaluate", "compare", "--models", model, other, "--questions", "Hi", "--max_new_tokens", "2")
    assert ran.code == 0, ran.err
    gc.collect()
    assert len(loaded) == 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("--models", "a", "b", "prompts.txt"),
            "turnpoint evaluate compare: nothing to ask; write PROMPTS before --models, or add --questions (models:"
            " a, b, prompts.txt)",
        ),
        (("--models", "a", "b", "a", "--questions", "Hi"), "models: a is named twice; name each once"),
        (("--models", "a", "--questions", "Hi", "--model", "b"), "--model: unknown for `turnpoint evaluate compare`"),
        (
            ("--models", "a", "--questions", "Hi", "--temperature", "-1"),
            "temperature: must be 0 (greedy) or a",
        ),
        (("--questions", "Hi"), "turnpoint evaluate compare: --models is missing"),
    ],
)
def test_comparisons_that_cannot_be_made(run: Run, words: tuple[str, ...], line: str) -> None:
    ran = run("evaluate", "compare", *words)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(f"error: {line}")


def test_nobody_asks(run: Run, rows: Rows, model: str) -> None:
    data = rows({"messages": [assistant("Hello")]})
    ran = run("evaluate", "compare", data, "--models", model)
    assert ran.code == 2
    assert ran.err.splitlines()[-1] == f"error: {data}: no user says anything, so there is nothing to reply to"
