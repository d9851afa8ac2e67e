"""`turnpoint export MODEL --output DIR`: one model in plain files, as safetensors or as GGUF."""

import json
import shutil
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from turnpoint.cli.given import Given
from turnpoint.cli.options import Verb
from turnpoint.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MARK = "export.json"  # in a folder that was exported to: what from, how, and its files
_GGUF = "model.gguf"


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What to write, and where."""

    model: str = field(
        metadata={"help": "run folder, hub name, .gguf file, or demo; an adapter is merged into its base"}
    )
    output: str = field(metadata={"help": "folder to write to; a former export there is replaced"})
    format: Literal["safetensors", "gguf"] = field(
        default="safetensors",
        metadata={
            "help": f"gguf writes {_GGUF}, for llama.cpp and Ollama, of Llama models with byte-level BPE tokenizers"
        },
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16", "q8_0"] = field(
        default="auto", metadata={"help": "type of the weights; auto keeps that of the files, q8_0 is for gguf"}
    )
    trust_remote_code: bool = field(default=False, metadata={"help": "run Python code that comes with the model"})
    revision: str | None = field(
        default=None, metadata={"help": "branch, tag or commit of a model on the hub; null takes the main branch"}
    )

    def source(self) -> dict[str, Any]:
        """What every loader of the model takes beside its name."""
        return {name: getattr(self, name) for name in ("trust_remote_code", "revision") if getattr(self, name)}


VERB = Verb(
    name="export",
    about=(
        "Write a model in plain files: its adapter merged, with tokenizer and chat template, as transformers and vLLM"
        " load it (safetensors), or as llama.cpp and Ollama do (gguf)."
    ),
    groups={"Export": ExportOptions},
    positional=("model",),
)


def run(given: Given) -> None:
    """Load, merge, write aside, and put in place."""
    options = given.build(ExportOptions)
    if options.dtype == "q8_0" and options.format != "gguf":
        raise ConfigError(f"dtype: q8_0 is for --format gguf (got format {options.format}); choose another dtype")
    output = Path(options.output)
    former = _former_files(output, options.model)
    loaded = _load(options)
    from turnpoint.models.to_gguf import check_gguf
    from turnpoint.training.run_folder import written_aside

    if options.format == "gguf":
        check_gguf(loaded.model, loaded.processing_class)
    with written_aside(output, main=True, wait=lambda: None) as aside:
        _write(loaded, aside, options)
        written = sorted(file.name for file in aside.iterdir())
        about = {"turnpoint": version("turnpoint")} | asdict(options) | {"dtype": loaded.dtype, "files": written}
        (aside / _MARK).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for name in former:
            _remove(output / name)
    merged = ", its adapter merged in float32" if loaded.merged else ""
    print(f"{options.output}: {loaded.kind} in {loaded.dtype}{merged}: {', '.join(written)}")


class _Loaded(NamedTuple):
    model: "PreTrainedModel"
    processing_class: Any
    kind: str
    dtype: str
    merged: bool


def _load(options: ExportOptions) -> _Loaded:
    """The whole model in the type that is written, and its tokenizer or processor. An adapter is merged in float32."""
    import torch

    from turnpoint import models

    source = options.source()
    processing_class = models.load_processing_class(options.model, **source)  # first, since it is quick to fail
    dtype = models.stored_dtype(options.model, **source) if options.dtype == "auto" else options.dtype
    has_adapter = (Path(options.model) / "adapter_config.json").is_file()
    of_rewards = models.holds_reward_model(options.model, **source)
    load = models.load_reward_model if of_rewards else models.load_model
    model: Any = load(options.model, dtype="float32" if has_adapter or dtype == "q8_0" else dtype, **source)
    if has_adapter:
        from turnpoint.training.policy import merged

        model = merged(model)
        if dtype != "q8_0":
            model.to(getattr(torch, dtype))
    if wide := next((name for name, weight in model.named_parameters() if not weight.isfinite().all()), None):
        raise ConfigError(f"dtype: {dtype} cannot hold all weights of {wide}; take bfloat16 or float32")
    return _Loaded(model, processing_class, type(model).__name__, dtype, has_adapter)


def _write(loaded: _Loaded, folder: Path, options: ExportOptions) -> None:
    from turnpoint.models.to_gguf import write_gguf
    from turnpoint.progress import bars_of_transformers

    if options.format == "gguf":
        write_gguf(loaded.model, loaded.processing_class, folder / _GGUF, loaded.dtype, Path(options.output).name)
        return
    with bars_of_transformers():
        loaded.model.save_pretrained(folder)
        loaded.processing_class.save_pretrained(folder)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _former_files(output: Path, model: str) -> list[str]:
    """Files of a former export, which a new one replaces.

    Raises:
        CheckpointError: the folder cannot be written to, since it holds something else.
    """
    if output.exists() and Path(model).exists() and output.samefile(model):
        raise CheckpointError(f"output: {output} is the model's own folder; name another one")
    if output.exists() and not output.is_dir():
        raise CheckpointError(f"output: {output} is a file; name a folder")
    held = sorted(file.name for file in output.iterdir()) if output.exists() else []
    if held and _MARK not in held:
        raise CheckpointError(
            f"output: {output} holds files that were not exported ({held[0]}); name another folder, or empty it"
        )
    if not held:
        return []
    try:
        files: list[str] = json.loads((output / _MARK).read_text(encoding="utf-8"))["files"]
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"output: {output / _MARK} cannot be read; name another folder, or empty it") from None
    return [Path(name).name for name in files]
