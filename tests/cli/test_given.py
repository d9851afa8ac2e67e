"""Flags and YAML against the options of a verb: spellings, precedence, and one exact line for each mistake."""

import contextlib
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnpoint.cli.given import Given, read_arguments
from turnpoint.cli.options import Verb, fields_of
from turnpoint.cli.usage import usage
from turnpoint.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Reading:
    dataset: str = field(metadata={"help": "file to read"})
    limit: int | None = field(default=None, metadata={"help": "rows"})


@dataclass(frozen=True, kw_only=True)
class Work:
    learning_rate: float = field(default=1e-6, metadata={"help": "peak learning rate"})
    overflow: str = field(default="drop", metadata={"help": "what happens", "choices": ("drop", "error")})
    modules: list[str] | None = None
    kwargs: dict[str, Any] | str | None = None
    strategy: Literal["no", "steps"] = "no"
    output_dir: str = "out"
    bf16: bool = False
    model: str = "demo"

    def __post_init__(self) -> None:
        if self.learning_rate < 0:
            raise ValueError("learning_rate must\nnot be negative")


VERB = Verb(
    name="work",
    about="Works.",
    groups={"Data": Reading, "Work": Work},
    positional=("dataset",),
    defaults={"output_dir": "runs/work"},
)


def read(*words: str) -> Given:
    return read_arguments(VERB, words)


def config(folder: Path, text: str) -> str:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["d.jsonl"], {"dataset": "d.jsonl"}),
        (["--dataset", "d.jsonl"], {"dataset": "d.jsonl"}),
        (["--dataset_name=d.jsonl"], {"dataset": "d.jsonl"}),
        (["d", "--learning_rate", "1e-5"], {"dataset": "d", "learning_rate": 1e-5}),
        (["d", "--learning-rate=1e-5"], {"dataset": "d", "learning_rate": 1e-5}),
        (["d", "--output", "x"], {"dataset": "d", "output_dir": "x"}),
        (["d", "--output-dir", "x"], {"dataset": "d", "output_dir": "x"}),
        (["--model_name_or_path", "m", "d"], {"dataset": "d", "model": "m"}),
        (["--bf16", "d"], {"dataset": "d", "bf16": True}),
        (["--bf16", "false", "d"], {"dataset": "d", "bf16": False}),
        (["--no_bf16", "d"], {"dataset": "d", "bf16": False}),
        (["--no-bf16", "d"], {"dataset": "d", "bf16": False}),
        (["d", "--modules", "q", "v", "--bf16"], {"dataset": "d", "modules": ["q", "v"], "bf16": True}),
        (["d", "--modules", "q,v"], {"dataset": "d", "modules": ["q", "v"]}),
        (["d", "--kwargs", '{"a": 1}'], {"dataset": "d", "kwargs": {"a": 1}}),
        (["d", "--limit", "null"], {"dataset": "d", "limit": None}),
    ],
)
def test_flags(words: list[str], expected: dict[str, Any]) -> None:
    assert read(*words).values == expected


_FLAGS = ["--dataset", "--limit", "--learning-rate", "--bf16", "--no_bf16", "--modules", "--kwargs", "--config"]
_OTHERS = ["--", "-", "-x", "--limit=3", "--=", "d", "1", "-1", "null", "true", "[", "{a: 1}", "!!x", "a,b", ""]
_WORDS = st.sampled_from([*_FLAGS, *_OTHERS]) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=4
)
_YAML = st.sampled_from(
    ["limit", "kwargs", "model", ":", " ", "\n", "1", "[", "]", "{", "}", "- ", "&a", "*a", "!!", "'", "#", "\t"]
)


@given(words=st.lists(_WORDS, max_size=6))
def test_any_words_are_taken_or_refused_by_a_config_error(words: list[str]) -> None:
    with contextlib.suppress(ConfigError):
        assert set(read(*words).values) <= set(VERB.options)


@given(parts=st.lists(_YAML, max_size=12))
def test_any_file_is_taken_or_refused_by_a_config_error(parts: list[str]) -> None:
    with TemporaryDirectory() as folder:
        try:
            found = read("d", "--config", config(Path(folder), "".join(parts)))
        except ConfigError as error:
            assert str(error)
        else:
            assert found.values["dataset"] == "d"


def test_yaml_means_what_flags_mean_and_flags_win(tmp_path: Path) -> None:
    file = config(
        tmp_path,
        "# settings\n"
        "dataset_name: d.jsonl\n"
        "learning-rate: 1e-5   # text in YAML 1.1\n"
        "strategy: no          # false in YAML 1.1\n"
        "bf16: yes\n"
        "modules: [q, v]\n"
        "kwargs:\n  a: 1\n"
        "limit: ~\n",
    )
    assert read("--config", file, "--learning_rate", "2e-5").values == {
        "dataset": "d.jsonl",
        "learning_rate": 2e-5,
        "strategy": "no",
        "bf16": True,
        "modules": ["q", "v"],
        "kwargs": {"a": 1},
        "limit": None,
    }
    assert read(f"--config={file}", "other.jsonl").values["dataset"] == "other.jsonl"


def test_a_dataclass_gets_what_was_given_then_the_verbs_defaults_then_its_own() -> None:
    work = read("d", "--bf16").build(Work)
    assert (work.bf16, work.output_dir, work.learning_rate) == (True, "runs/work", 1e-6)
    assert read("d", "--output", "x").build(Work).output_dir == "x"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["d", "--learning_rte", "1"], "--learning_rte: unknown for `turnpoint work`; did you mean 'learning_rate'?"),
        (["d", "--confg", "x"], "--confg: unknown for `turnpoint work`; did you mean 'config'?"),
        (
            ["d", "--learning_rate", "fast"],
            "--learning_rate: must be a number (got 'fast'); see `turnpoint work --help`",
        ),
        (
            ["d", "--overflow", "cut"],
            "--overflow: must be one of drop, error (got 'cut'); see `turnpoint work --help`",
        ),
        (["d", "--limit", "many"], "--limit: must be a whole number or null (got 'many'); see `turnpoint work --help`"),
        (["d", "--limit"], "--limit: needs a value (got none); write --limit VALUE"),
        (["d", "--limit", "--bf16"], "--limit: needs a value (got none); write --limit VALUE"),
        (["d", "e"], "turnpoint work: 'e' is one word too many; it takes DATASET"),
        (["d", "--dataset", "e"], "--dataset: given twice (got 'd' as well); write it once"),
        (["d", "--limit", "1", "--limit=2"], "--limit: given twice (got '1' and '2'); write it once"),
        (["d", "--bf16", "--no_bf16"], "--no_bf16: given twice (got 'true' and 'false'); write it once"),
        (["--dataset", "d", "--dataset_name", "d"], "--dataset_name: given twice (got 'd' and 'd'); write it once"),
        (["d", "--config", "a", "--config=b"], "--config: given twice (got 'a' and 'b'); write one file"),
        ([], "turnpoint work: DATASET is missing; write `turnpoint work DATASET` or --dataset"),
        (["d", "-x"], "-x: unknown for `turnpoint work`; known: "),
    ],
)
def test_mistakes_in_flags(words: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(*words)
    assert str(caught.value).startswith(line)
    assert str(caught.value) == line or line.endswith("known: ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a_b: 1\nlearning_rte: 1\n", ":1: a_b: unknown for `turnpoint work`; known: "),
        (
            "dataset: d\nlearning_rte: 1\n",
            ":2: learning_rte: unknown for `turnpoint work`; did you mean 'learning_rate'?",
        ),
        (
            "dataset: d\n\nlearning_rate: fast\n",
            ":3: learning_rate: must be a number (got 'fast'); see `turnpoint work --help`",
        ),
        ("limit: [1]\n", ":1: limit: must be a whole number or null (got [1]); see `turnpoint work --help`"),
        ("model: a\nmodel_name_or_path: b\n", ":2: model_name_or_path: given twice, also at "),
        ("- a\n", ":1: must be a mapping; write one `field: value` a line"),
        ("a: [1\nb: 2\n", ":2: not YAML: "),
        ("kwargs: !!python/object:os.system {}\n", ":1: kwargs: not plain YAML: "),
        ("config: other.yaml\n", ":1: config: unknown for `turnpoint work`"),
    ],
)
def test_mistakes_in_yaml_name_file_and_line(tmp_path: Path, text: str, line: str) -> None:
    file = config(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read("d", "--config", file)
    assert str(caught.value).startswith(file + line)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot read the file of --config: No such file"):
        read("--config", str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="cannot read the file of --config: Is a directory"):
        read("--config", str(tmp_path))
    broken = tmp_path / "latin.yaml"
    broken.write_bytes(b"model: \xe9\n")
    with pytest.raises(ConfigError, match="byte 7 is not UTF-8"):
        read("--config", str(broken))


def test_an_empty_file_gives_nothing(tmp_path: Path) -> None:
    assert read("d", "--config", config(tmp_path, "# nothing yet\n")).values == {"dataset": "d"}


def test_what_a_dataclass_refuses_is_the_users_to_mend() -> None:
    with pytest.raises(ConfigError, match="turnpoint work: learning_rate must"):
        read("d", "--learning_rate", "-1").build(Work)


def test_help_shows_every_field_with_type_default_and_unit() -> None:
    text = usage(VERB)
    assert text.startswith("usage: turnpoint work DATASET [--config FILE.yaml] [--FIELD VALUE ...]\n\nWorks.\n\nData\n")
    assert "  --dataset, also --dataset_name: text, required\n      file to read" in text
    assert "  --limit: a whole number or null, default null\n      rows" in text
    assert "  --output, also --output_dir: text, default runs/work" in text
    assert "  --overflow: one of drop, error, default drop" in text
    assert "  --bf16: true or false, default false" in text
    for item in (*dataclasses.fields(Reading), *dataclasses.fields(Work)):
        assert f"--{item.name}" in text


@dataclass(frozen=True, kw_only=True)
class Asking:
    questions: list[str] | None = field(default=None, metadata={"help": "texts", "texts": True})


@pytest.mark.parametrize(
    ("words", "questions"),
    [
        (("--questions", "Hi, you"), ["Hi, you"]),
        (("--questions", "Hi, you", "[and you]"), ["Hi, you", "[and you]"]),
        ((), None),
    ],
)
def test_a_comma_in_a_text_is_a_comma(words: tuple[str, ...], questions: list[str] | None) -> None:
    verb = Verb(name="ask", about="Asks.", groups={"Ask": Asking})
    assert read_arguments(verb, words).build(Asking).questions == questions


def test_some_fields_of_a_dataclass_are_options_as_they_are_there() -> None:
    some = fields_of(Work, "overflow", "learning_rate")
    verb = Verb(name="some", about="Some.", groups={"Some": some})
    assert list(verb.options) == ["overflow", "learning_rate"]
    assert all(verb.options[name] == dataclasses.replace(VERB.options[name], heading="Some") for name in verb.options)
    assert read_arguments(verb, ("--overflow", "error")).build(Work).overflow == "error"
    with pytest.raises(ConfigError, match=r"--overflow: must be one of drop, error \(got 'cut'\)"):
        read_arguments(verb, ("--overflow", "cut"))
    with pytest.raises(ConfigError, match="--bf16: unknown for `turnpoint some`"):
        read_arguments(verb, ("--bf16",))
