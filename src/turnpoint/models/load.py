"""One door for every kind of model name."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import snapshot_download
from peft import PeftConfig, PeftModel, TaskType
from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSequenceClassification,
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
from turnpoint.models.reward_head import check_one_score, with_reward_head
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
        CheckpointError: no such model, or it cannot be loaded, or it is a reward model.
        ConfigError: unknown dtype, or quantisation without a GPU.
    """
    source, options = _where_and_how(name, dtype, attn_implementation, trust_remote_code, quantization_config, options)
    with _readable(name, source), bars_of_transformers():
        if _is_reward_model(source, options):
            raise CheckpointError(
                f"model {name}: is a reward model, which writes nothing; name a language model, or score with it:"
                f" turnpoint evaluate reward {name} DATA"
            )
        if _is_adapter(source):
            base = load_model(_base_of_adapter(name, source), **options)
            model = PeftModel.from_pretrained(base, source, is_trainable=True)
        else:
            kind = _kind_of_model(source, options)
            model = _whole(name, *kind.from_pretrained(source, output_loading_info=True, **options))
    model.name_or_path = name
    return model.eval()


def load_reward_model(
    name: str,
    *,
    dtype: str | torch.dtype = "float32",
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
    quantization_config: Any = None,
    **options: Any,
) -> PreTrainedModel:
    """Load a reward model, a sequence classifier with one label, with its adapter where the folder holds one.

    Args:
        name: a hub name or a folder.
        dtype: see `load_model`.
        attn_implementation: see `load_model`.
        trust_remote_code: see `load_model`.
        quantization_config: see `load_model`.
        options: further ones of `from_pretrained`, such as `revision` and `device_map`.

    Raises:
        CheckpointError: no such model, or it cannot be loaded, or it is no reward model.
        ConfigError: unknown dtype, or quantisation without a GPU.
    """
    source, options = _where_and_how(name, dtype, attn_implementation, trust_remote_code, quantization_config, options)
    with _readable(name, source), bars_of_transformers():
        if not _is_reward_model(source, options):
            raise CheckpointError(f"model {name}: is no reward model; name one, or train it with `turnpoint reward`")
        if _is_adapter(source):
            base = _reward_base(_base_of_adapter(name, source), options)
            # The padding that was trained with; that of the base, which nothing reads, may end a side.
            base.config.get_text_config().pad_token_id = load_tokenizer(name).pad_token_id
            model = PeftModel.from_pretrained(base, source, is_trainable=True)
        else:
            kind = AutoModelForSequenceClassification
            model = _whole(name, *kind.from_pretrained(source, output_loading_info=True, **options))
        check_one_score(model, f"model {name}")
    model.name_or_path = name
    return model.eval()


def holds_reward_model(name: str, *, trust_remote_code: bool = False, revision: str | None = None) -> bool:
    """Whether a name stands for a reward model or an adapter of one; names and errors of `load_reward_model`."""
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    source = _resolve(name, revision)
    with _readable(name, source):
        return _is_reward_model(source, options | ({"revision": revision} if revision else {}))


def stored_dtype(name: str, *, trust_remote_code: bool = False, revision: str | None = None) -> str:
    """The type of a model's weights as its configuration names it, of the base below an adapter; else float32."""
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    source = _resolve(name, revision)
    with _readable(name, source):
        if _is_adapter(source):
            return stored_dtype(_base_of_adapter(name, source), trust_remote_code=trust_remote_code)
        config = _config(source, options | ({"revision": revision} if revision else {}))
    return str(config.dtype or "float32").removeprefix("torch.")


def _reward_base(name: str, options: dict[str, Any]) -> PreTrainedModel:
    """The model below an adapter that holds a head: whatever head it has itself is not used."""
    if _is_reward_model(_resolve(name), options):
        return load_reward_model(name, **options)
    return with_reward_head(load_model(name, **options), seed=0)


def _where_and_how(
    name: str,
    dtype: str | torch.dtype,
    attn_implementation: str | None,
    trust_remote_code: bool,
    quantization_config: Any,
    options: dict[str, Any],
) -> tuple[str, dict[str, Any]]:
    """What transformers loads from, and the options it takes."""
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
    return source, options


@contextmanager
def _readable(name: str, source: str) -> Iterator[None]:
    """Say in one line what cannot be loaded."""
    try:
        yield
    except _UNREADABLE as error:
        raise _not_loaded(name, source, error) from error


def load_tokenizer(
    name: str, *, trust_remote_code: bool = False, revision: str | None = None
) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a model, by the same names as `load_model`.

    Raises:
        CheckpointError: no such model, or it has no tokenizer.
    """
    source = _resolve(name, revision)
    with _readable(name, source):
        return AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code, revision=revision)


def load_processing_class(
    name: str, *, trust_remote_code: bool = False, revision: str | None = None
) -> PreTrainedTokenizerFast | ProcessorMixin:
    """The processor of a model that reads images, the tokenizer of any other; names and errors of `load_tokenizer`."""
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision}
    source = _resolve(name, revision)
    with _readable(name, source):
        base = _base_of_adapter(name, source) if _is_adapter(source) else source
        if Path(source).is_dir():
            options.pop("revision")
        config = AutoConfig.from_pretrained(loadable_name(base), **options)
        if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
            return AutoProcessor.from_pretrained(source, **options)
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
    """What loads a run folder outside of turnpoint: a library and its class for a model, transformers' for the rest.

    Args:
        library: of the model's class.
        model: class of the model.
        processing: class of the tokenizer or processor.
        task: what the model does, as the hub calls it.
        options: what the model's class is told beside the folder, as Python.
    """

    library: str
    model: str
    processing: str
    task: str
    options: str = ""

    def code(self, folder: str) -> str:
        """The call that loads the model of a folder."""
        return f'{self.model}.from_pretrained("{folder}"{self.options})'


def loader(*, adapter: bool, reads_images: bool) -> Loader:
    """What loads a run folder that holds an adapter or a whole model, which may read images."""
    if reads_images:
        return Loader("transformers", "AutoModelForImageTextToText", "AutoProcessor", "image-text-to-text")
    if adapter:
        return Loader("peft", "AutoPeftModelForCausalLM", "AutoTokenizer", "text-generation")
    return Loader("transformers", "AutoModelForCausalLM", "AutoTokenizer", "text-generation")


def reward_loader(*, adapter: bool, pad_token_id: int | None) -> Loader:
    """What loads a run folder that holds a reward model, or the adapter and head of one.

    Args:
        adapter: the base below it is a language model, whose configuration says nothing of a head.
        pad_token_id: of the run.
    """
    if adapter:
        options = f", num_labels=1, pad_token_id={pad_token_id}"
        return Loader("peft", "AutoPeftModelForSequenceClassification", "AutoTokenizer", "text-classification", options)
    return Loader("transformers", "AutoModelForSequenceClassification", "AutoTokenizer", "text-classification")


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


def _is_adapter(source: str) -> bool:
    return (Path(source) / "adapter_config.json").is_file()


def _is_reward_model(source: str, options: dict[str, Any]) -> bool:
    if _is_adapter(source):
        return bool(PeftConfig.from_pretrained(source).task_type == TaskType.SEQ_CLS)
    kinds: list[str] = _config(source, options).architectures or []
    return any(kind.endswith("ForSequenceClassification") for kind in kinds)


def _config(source: str, options: dict[str, Any]) -> Any:
    of_config = {key: options[key] for key in ("trust_remote_code", "revision") if key in options}
    return AutoConfig.from_pretrained(source, **of_config)


def _kind_of_model(source: str, options: dict[str, Any]) -> Any:
    """What loads the model: with its image encoder if it has one, which a model of texts would leave out."""
    config = _config(source, options)
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
