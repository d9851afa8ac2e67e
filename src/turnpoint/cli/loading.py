"""What verbs load: a model with its tokenizer and chat template, an adapter, tools from a file."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnpoint.cli.given import Given
from turnpoint.cli.groups import AdapterOptions, ModelOptions
from turnpoint.dialogue import Tool, parse
from turnpoint.errors import ConfigError, DataError

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerFast, ProcessorMixin


def say(line: str) -> None:
    """A line about what is being done, to stderr."""
    print(line, file=sys.stderr)


def open_model(options: ModelOptions) -> "tuple[PreTrainedModel, PreTrainedTokenizerFast]":
    """The model and its tokenizer, with a chat template that knows tools where the tokenizer's own does not.

    Raises:
        CheckpointError: the model cannot be loaded.
        ConfigError: the file of `chat_template` cannot be read.
    """
    tokenizer = open_tokenizer(options)  # first, since it is quick to fail
    return open_weights(options), tokenizer


def open_weights(options: ModelOptions, load: "Callable[..., PreTrainedModel] | None" = None) -> "PreTrainedModel":
    """The model alone; see `open_model`.

    Args:
        options: which model, and how.
        load: what loads it; None: `turnpoint.models.load_model`.
    """
    from turnpoint.models import four_bits, load_model

    return (load or load_model)(
        options.model,
        dtype=options.dtype,
        attn_implementation=options.attn_implementation,
        trust_remote_code=options.trust_remote_code,
        **({"revision": options.revision} if options.revision else {}),
        quantization_config=four_bits() if options.load_in_4bit else None,
    )


def on_device(model: "PreTrainedModel", options: ModelOptions) -> "PreTrainedModel":
    """The model on the GPU where there is one; weights of 4 bits are there already."""
    import torch

    if torch.cuda.is_available() and not options.load_in_4bit:
        model.to("cuda")
    return model


def open_tokenizer(options: ModelOptions) -> "PreTrainedTokenizerFast":
    """The tokenizer alone; see `open_model`."""
    from turnpoint.models import load_tokenizer

    return _with_template(options, load_tokenizer)


def open_processing_class(options: ModelOptions) -> "PreTrainedTokenizerFast | ProcessorMixin":
    """The processor of a model that reads images, the tokenizer of any other; see `open_model`."""
    from turnpoint.models import load_processing_class

    return _with_template(options, load_processing_class)


def _with_template(options: ModelOptions, load: Callable[..., Any]) -> Any:
    from turnpoint.template import ensure_tool_template

    template = _template(options.chat_template)
    loaded = load(options.model, trust_remote_code=options.trust_remote_code, revision=options.revision)
    if template is not None:
        loaded.chat_template = template
    elif line := ensure_tool_template(loaded):
        say(line)
    return loaded


def adapter(given: Given) -> "LoraConfig | None":
    """The adapter to train, or None when all weights are.

    Raises:
        ConfigError: a `lora_` field without `use_peft`, or a value that peft refuses.
    """
    options = given.build(AdapterOptions)
    if not options.use_peft:
        idle = [name for name in given.values if name.startswith("lora_")]
        if idle:
            raise ConfigError(
                f"{idle[0]}: has no effect without an adapter (got {given.values[idle[0]]}); add --use_peft"
            )
        return None
    _check_adapter(options)
    from peft import LoraConfig

    try:
        return LoraConfig(
            r=options.lora_r,
            lora_alpha=options.lora_alpha,
            lora_dropout=options.lora_dropout,
            target_modules=_modules(options.lora_target_modules),
            task_type="CAUSAL_LM",
        )
    except ValueError as error:
        raise ConfigError(f"lora: {error}") from error


def _check_adapter(options: AdapterOptions) -> None:
    for name in ("lora_r", "lora_alpha"):
        if getattr(options, name) < 1:
            raise ConfigError(
                f"{name}: must be at least 1 (got {getattr(options, name)}); leave it out for the default"
            )
    if not 0 <= options.lora_dropout < 1:
        raise ConfigError(f"lora_dropout: must be in [0, 1) (got {options.lora_dropout}); 0 is the default")


def read_tools(path: str | None) -> tuple[Tool, ...]:
    """The tools of a JSON file: a list, or one tool.

    Raises:
        DataError: the file cannot be read, or holds no tools.
    """
    if path is None:
        return ()
    try:
        raw: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot read the file of --tools: {error.strerror}; check the path") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg}; write a list of tools") from None
    tools = raw if isinstance(raw, list) else [raw]
    for i, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise DataError(f"{path}[{i}]: a tool must be an object with name and parameters (got {tool!r})")
    return tuple(parse(Tool, tool, f"{path}[{i}]") for i, tool in enumerate(tools))


def _template(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read the file of --chat_template: {error.strerror}; check the path"
        ) from None


def _modules(names: list[str] | None) -> list[str] | str | None:
    """`all-linear` is a word of peft's, not the name of a layer."""
    return "all-linear" if names == ["all-linear"] else names
