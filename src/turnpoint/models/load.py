"""One door for every kind of model name."""

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import snapshot_download
from peft import PeftConfig, PeftModel
from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
)

from turnpoint.errors import CheckpointError, ConfigError
from turnpoint.hub import reachable
from turnpoint.models.gguf import converted, embedded_model_file
from turnpoint.progress import bars_of_transformers

# What transformers, peft and safetensors raise on names, folders and files that hold no model they know.
_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError)
DTYPES: dict[str, torch.dtype | str] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
    "auto": "auto",
}


def load_model(
    name: str,
    *,
    dtype: str | torch.dtype = "float32",
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
    quantization_config: Any = None,
    **options: Any,
) -> PreTrainedModel:
    """Load a causal language model, in evaluation mode, with its adapter where the folder holds one.

    A model that reads images is loaded whole.

    Args:
        name: a hub name, a folder, a `.gguf` file, or `demo`.
        dtype: of the weights: float32, bfloat16, float16, float64, or auto, that of the files.
        attn_implementation: as in transformers; None takes the model's best.
        trust_remote_code: run Python code that comes with the model. Off unless asked for.
        quantization_config: of transformers, for weights of few bits below an adapter (QLoRA); needs a GPU.
        options: further ones of `from_pretrained`, such as `revision` and `device_map`.

    Raises:
        CheckpointError: no such model, or it cannot be loaded.
        ConfigError: unknown dtype, or quantisation without a GPU.
    """
    dtype = str(dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise ConfigError(f"dtype: unknown {dtype!r}; use one of {', '.join(DTYPES)}")
    if quantization_config is not None:
        _check_quantisation(quantization_config)
        options["quantization_config"] = quantization_config
    source = _resolve(name, options.get("revision"))
    if Path(source).is_dir():
        options.pop("revision", None)  # that of a copy of the hub's, found by it; its base has others
    options |= {"dtype": DTYPES[dtype], "attn_implementation": attn_implementation}
    options["trust_remote_code"] = trust_remote_code
    try:
        with bars_of_transformers():
            if (Path(source) / "adapter_config.json").is_file():
                base = load_model(_base_of_adapter(name, source), **options | {"dtype": dtype})
                model = PeftModel.from_pretrained(base, source, is_trainable=True)
            else:
                kind = _kind_of_model(source, options)
                model = _whole(name, *kind.from_pretrained(source, output_loading_info=True, **options))
    except _UNREADABLE as error:
        raise _not_loaded(name, source, error) from error
    model.name_or_path = name
    return model.eval()


def load_tokenizer(
    name: str, *, trust_remote_code: bool = False, revision: str | None = None
) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a model, by the same names as `load_model`.

    Raises:
        CheckpointError: no such model, or it has no tokenizer.
    """
    source = _resolve(name, revision)
    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code, revision=revision)
    except _UNREADABLE as error:
        raise _not_loaded(name, source, error) from error


def load_processing_class(
    name: str, *, trust_remote_code: bool = False, revision: str | None = None
) -> PreTrainedTokenizerFast | ProcessorMixin:
    """The processor of a model that reads images, the tokenizer of any other; names and errors of `load_tokenizer`."""
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision}
    source = _resolve(name, revision)
    try:
        is_adapter = (Path(source) / "adapter_config.json").is_file()
        base = _base_of_adapter(name, source) if is_adapter else source
        if Path(source).is_dir():
            options.pop("revision")
        config = AutoConfig.from_pretrained(loadable_name(base), **options)
        if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
            return AutoProcessor.from_pretrained(source, **options)
    except _UNREADABLE as error:
        raise _not_loaded(name, source, error) from error
    return load_tokenizer(name, **options)


def load_model_and_tokenizer(
    name: str,
    *,
    dtype: str = "float32",
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """`load_model` and `load_tokenizer` of one name."""
    model = load_model(name, dtype=dtype, attn_implementation=attn_implementation, trust_remote_code=trust_remote_code)
    return model, load_tokenizer(name, trust_remote_code=trust_remote_code)


def four_bits() -> Any:
    """The quantisation of QLoRA (arXiv 2305.14314): 4-bit NormalFloat, its constants too, products in bfloat16."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _check_quantisation(config: Any) -> None:
    if not torch.cuda.is_available():
        raise ConfigError(
            f"quantization_config: needs a CUDA GPU, and there is none (got {type(config).__name__}); leave it out, or"
            " load the weights in bfloat16"
        )
    if importlib.util.find_spec("bitsandbytes") is None and isinstance(config, BitsAndBytesConfig):
        raise ConfigError("quantization_config: bitsandbytes is not installed; run `pip install bitsandbytes`")


class Loader(NamedTuple):
    """What loads a run folder outside of turnpoint: a library and its class for a model, transformers' for the rest."""

    library: str
    model: str
    processing: str


def loader(*, adapter: bool, reads_images: bool) -> Loader:
    """What loads a run folder that holds an adapter or a whole model, which may read images."""
    if reads_images:
        return Loader("transformers", "AutoModelForImageTextToText", "AutoProcessor")
    if adapter:
        return Loader("peft", "AutoPeftModelForCausalLM", "AutoTokenizer")
    return Loader("transformers", "AutoModelForCausalLM", "AutoTokenizer")


def loadable_name(name: str) -> str:
    """The name by which transformers and peft know a model: the converted folder of `demo` and of a `.gguf` file.

    Raises:
        CheckpointError: the file is not there, or cannot be converted.
    """
    if name == "demo":
        return str(converted(embedded_model_file()).resolve())
    if name.endswith(".gguf"):
        file = Path(name)
        if not file.is_file():
            raise CheckpointError(f"model {name}: no such file; check the path")
        return str(converted(file).resolve())
    return name


def _resolve(name: str, revision: str | None = None) -> str:
    """What transformers loads from: a folder, or a hub name where the hub can be reached."""
    local, name = name, loadable_name(name)
    if revision is not None and Path(name).is_dir():
        raise ConfigError(f"revision: {local} is on this machine and has none (got {revision!r}); leave it out")
    if Path(name).is_dir() or reachable():
        return name
    try:
        return snapshot_download(name, revision=revision, local_files_only=True)
    except (OSError, ValueError) as error:
        raise _unknown(name, "the hub cannot be reached, and its cache holds no such model") from error


def _kind_of_model(source: str, options: dict[str, Any]) -> Any:
    """What loads the model: with its image encoder if it has one, which a model of texts would leave out."""
    of_config = {key: options[key] for key in ("trust_remote_code", "revision") if key in options}
    config = AutoConfig.from_pretrained(source, **of_config)
    reads_images = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    return AutoModelForImageTextToText if reads_images else AutoModelForCausalLM


def _whole(name: str, model: PreTrainedModel, loading: dict[str, Any]) -> PreTrainedModel:
    """The model, if every weight of it was in its files: transformers would make up the others at random."""
    if absent := sorted(loading["missing_keys"]):
        raise CheckpointError(
            f"model {name}: its files lack {len(absent)} of its weights, {absent[0]} first; load a complete causal"
            " language model"
        )
    return model


def _base_of_adapter(name: str, folder: str) -> str:
    base = PeftConfig.from_pretrained(folder).base_model_name_or_path
    if not base:
        raise CheckpointError(f"model {name}: adapter_config.json: base_model_name_or_path is missing; name the model")
    return str(base)


def _not_loaded(name: str, source: str, error: Exception) -> CheckpointError:
    reason = str(error).strip().split("\n")[0]
    if not Path(source).is_dir():
        return _unknown(name, reason)
    if not any((Path(source) / file).exists() for file in ("config.json", "adapter_config.json")):
        return CheckpointError(
            f"model {name}: the folder holds no model (no config.json); a run that did not finish leaves none:"
            " run it again, or name one of its checkpoints"
        )
    folder = "the folder" if source == name else f"its copy {source}"
    return CheckpointError(f"model {name}: {folder} cannot be loaded ({reason})")


def _unknown(name: str, reason: str) -> CheckpointError:
    return CheckpointError(f"model {name}: not a folder, not a .gguf file, not `demo`, and not on the hub ({reason})")
