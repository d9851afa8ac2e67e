"""Groups of fields that several verbs take: the data they read, the model they load, the adapter they train."""

from dataclasses import dataclass, field
from typing import Any, Literal

_FORMAT = (
    "format of the data (docs/data.md lists them), or package.module:name, a reader of your own; null finds it from the"
    " first row"
)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What a verb reads."""

    dataset: str = field(
        metadata={
            "help": "file (JSON, JSONL, CSV, Parquet), folder or hub name of the data, or a .yaml file that mixes some"
        }
    )
    format: str | None = field(default=None, metadata={"help": _FORMAT})
    split: str = field(default="train", metadata={"help": "split of a hub data set"})
    limit: int | None = field(default=None, metadata={"help": "take the first N rows; null takes all"})
    on_bad_rows: Literal["error", "drop"] = field(
        default="error", metadata={"help": "what becomes of a row that breaks a rule: error stops, drop leaves it out"}
    )

    def arguments(self) -> dict[str, Any]:
        """What `turnpoint.data.load` and `Source` take beside the data."""
        return {name: getattr(self, name) for name in ("format", "split", "limit", "on_bad_rows")}


@dataclass(frozen=True, kw_only=True)
class TrainingDataOptions(DataOptions):
    """What a training stage reads."""

    eval_dataset: str | None = field(
        default=None, metadata={"help": "file, folder or hub name of the data to evaluate on, in the same format"}
    )
    streaming: bool = field(
        default=False, metadata={"help": "read and tokenise while training, and keep nothing on disk; needs max_steps"}
    )


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model a verb loads."""

    model: str = field(
        default="demo", metadata={"help": "hub name, folder, .gguf file, or demo, the embedded SmolLM2-135M-Instruct"}
    )
    dtype: Literal["float32", "bfloat16", "float16", "float64"] = field(
        default="float32", metadata={"help": "type of the weights; --bf16 is for mixed precision in training"}
    )
    attn_implementation: str | None = field(
        default=None, metadata={"help": "attention as named by transformers (sdpa, eager); null takes the model's best"}
    )
    chat_template: str | None = field(
        default=None, metadata={"help": "Jinja file that takes the place of the tokenizer's own chat template"}
    )
    trust_remote_code: bool = field(default=False, metadata={"help": "run Python code that comes with the model"})
    revision: str | None = field(
        default=None, metadata={"help": "branch, tag or commit of a model on the hub; null takes the main branch"}
    )
    load_in_4bit: bool = field(
        default=False, metadata={"help": "weights of 4 bits (QLoRA, with use_peft); needs a CUDA GPU and bitsandbytes"}
    )


@dataclass(frozen=True, kw_only=True)
class AdapterOptions:
    """A LoRA adapter to train in place of all weights."""

    use_peft: bool = field(
        default=False, metadata={"help": "train a LoRA adapter; the weights below it stay as they are"}
    )
    lora_r: int = field(default=16, metadata={"help": "rank of the adapter"})
    lora_alpha: int = field(default=32, metadata={"help": "scale of the adapter; alpha / r multiplies what it adds"})
    lora_dropout: float = field(default=0.0, metadata={"help": "share of the adapter's inputs dropped, in [0, 1)"})
    lora_target_modules: list[str] | None = field(
        default=None,
        metadata={
            "help": "names of the layers that get an adapter, or all-linear; null takes peft's own for the model"
        },
    )


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How results are printed."""

    json: bool = field(default=False, metadata={"help": "print results to stdout as JSON, for machines"})
