"""The transformers Trainer around the executor: what all stages share.

Optimiser, schedule, distribution, checkpoints and logging are those of transformers. Its batch is one optimiser step.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np
from accelerate.utils import DynamoBackend, gather_object
from accelerate.utils.memory import clear_device_cache
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerControl,
)
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import EvalLoopOutput, TrainOutput

from turnpoint.errors import ConfigError, DataError
from turnpoint.memory import keep_few_kernels, keep_freed_memory
from turnpoint.models import load_model, load_tokenizer
from turnpoint.progress import bars_of_transformers, with_progress
from turnpoint.template import Prepared, Renderer, ensure_tool_template
from turnpoint.template.builtin import chatml_tools
from turnpoint.training.callbacks import LastLog, MetricsFile, ProgressBar
from turnpoint.training.configs import StageConfig
from turnpoint.training.data_report import DataReport, name_of
from turnpoint.training.executor import Executor, Stage, Tally
from turnpoint.training.model_card import RunFacts
from turnpoint.training.policy import check_base_is_kept, disable_dropout, name_of_model, with_adapter
from turnpoint.training.run_folder import (
    checkpoint_to_resume,
    make_output_folder,
    removed_on_failure,
    write_reports,
    written_aside,
)
from turnpoint.training.sampler import StepSampler, share_of
from turnpoint.tree import ScoredSequence, attend_along_tree
from turnpoint.tree.build import sort_key
from turnpoint.tree.forward import bare_model
from turnpoint.tree.head import head_is_last
from turnpoint.tree.support import check_sharing

logger = logging.getLogger(__name__)

Example = TypeVar("Example")

_ROW_TOKENS_ON_GPU = 8192
_ROW_TOKENS_ON_CPU = 1536
_ROW_FULL_ON_CPU = 512
_TEMPLATE_NOTE = "the chat template is turnpoint's ChatML template with tools; it is saved with the model"
_PROBE_AMONG = 16  # items from the start of the data, of which the shortest are probed


class StageTrainer(Trainer, Generic[Example]):
    """A stage on the transformers Trainer. Made by its subclasses, which say what is read, scored and lost.

    Attributes:
        run_settings: what else `config.yaml` says of the run: data, model and adapter, as whoever starts it names them.
        data_report: what became of the data.
        model_name: what the run started from.
        config: the settings as the user made them; `args` is what the transformers Trainer gets of them.
    """

    stage_name: ClassVar[str]
    config_class: ClassVar[type[StageConfig]]
    stage: Stage[Example]
    control: TrainerControl

    def __init__(
        self,
        model: PreTrainedModel | nn.Module | str,
        args: StageConfig,
        *,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        peft_config: Any = None,
        callbacks: list[Any] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
    ) -> None:
        self.config = _checked_config(args, self.config_class)
        self.config.check_beside(peft_config, eval_dataset)
        processing_class = processing_class or load_tokenizer(name_of_model(model))
        model = load_model(model) if isinstance(model, str) else model
        self.model_name = name_of_model(model) or type(model).__name__
        self.new_adapter = peft_config is not None
        model = with_adapter(model, peft_config, self.config.seed) if self.new_adapter else model
        check_base_is_kept(model, str(self.config.output_dir))
        if self.config.disable_dropout:
            disable_dropout(model)
        self.data_report = DataReport()
        self.run_settings: dict[str, Any] = {}
        self.trained = False
        self._probed = False
        self._window = Tally()
        self._window_start = 0.0
        self._say_template(processing_class)
        train_examples = self._examples(train_dataset, "train", processing_class)
        eval_examples = self._eval_examples(eval_dataset, processing_class)
        make_output_folder(str(self.config.output_dir))  # not before: data that stops a run leaves no folder behind
        super().__init__(
            model=model,
            args=_one_batch_a_step(self.config),
            data_collator=list,
            train_dataset=train_examples,
            eval_dataset=eval_examples,
            processing_class=processing_class,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        self._set_up_callbacks()
        self.executor = Executor(self.accelerator, self._row_budget(), self._row_full())
        self._attend_along_tree(model)

    # What a stage says.

    def _read(self, source: Any) -> tuple[list[Any], tuple[str, ...]]:
        """Records of the source, and notes on what was changed in them."""
        raise NotImplementedError

    def _prepare(self, records: list[Any], renderer: Renderer) -> Prepared:
        """Render and tokenise; leave out what does not fit."""
        raise NotImplementedError

    def _example(self, tokenized: Any) -> Example:
        """What the stage trains on."""
        raise NotImplementedError

    def _models(self) -> list[nn.Module]:
        """All models whose log-probs the stage takes."""
        return [self.accelerator.unwrap_model(self.model)]

    def _groups(self) -> Sequence[str] | None:
        """Of each training item the group whose items stay together; None without groups."""
        return None

    def _before_run(self, items: Sequence[Example]) -> None:
        """Called with the items of a run before its first step."""

    # What all stages do.

    def train(self, resume_from_checkpoint: str | bool | None = None, **options: Any) -> TrainOutput:
        """Train.

        Args:
            resume_from_checkpoint: folder of a checkpoint, or True for the last complete one of the run folder.
            options: of the transformers Trainer.

        Raises:
            CheckpointError: there is no such checkpoint, or a checkpoint cannot be written.
            DataError: there is nothing to train on.
        """
        if not self.train_dataset:
            raise DataError(f"{type(self).__name__}: train_dataset: is missing; give it the data to train on")
        if resume_from_checkpoint:
            resume_from_checkpoint = checkpoint_to_resume(resume_from_checkpoint, self.args.output_dir)
        self._prepare_run([*self.train_dataset, *_all_items(self.eval_dataset)])
        self.trained = True
        return super().train(resume_from_checkpoint=resume_from_checkpoint or None, **options)

    def training_step(self, model: nn.Module, inputs: list[Example], num_items_in_batch: Any = None) -> Tensor:
        """Run one optimiser step's items of this process.

        Returns:
            A loss whose mean over processes is the loss of the step.
        """
        model.train()
        if callable(getattr(self.optimizer, "train", None)):
            self.optimizer.train()
        if not self._window_start:
            self._window_start = time.perf_counter()
        result = self.executor.train(self.stage, model, inputs)
        self._window.add(result.tally)
        every = self.args.torch_empty_cache_steps
        if every is not None and self.state.global_step % every == 0:
            clear_device_cache()
        return result.loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the stage's metrics since the last log to a training log."""
        if "loss" in logs:
            logs.update(self._drain_window())
        super().log(logs, start_time)

    def get_train_dataloader(self) -> DataLoader[Example]:
        """Batches of whole optimiser steps."""
        assert self.train_dataset is not None
        strategy = getattr(self.args, "train_sampling_strategy", "random")
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        sampler = StepSampler(
            len(self.train_dataset),
            self.args.per_device_train_batch_size * self.args.world_size,
            rank=self.args.process_index,
            processes=self.args.world_size,
            seed=seed if strategy == "random" else None,
            groups=self._groups(),
            drop_last=self.args.dataloader_drop_last,
            epoch=lambda: self.state.global_step // max(len(sampler), 1),
        )
        if not len(sampler):
            raise DataError(
                f"{type(self).__name__}: dataloader_drop_last: leaves nothing of {len(self.train_dataset)} items"
                f" (a step holds {sampler.items_per_step}); set it to false or lower the batch size"
            )
        return DataLoader(self.train_dataset, batch_sampler=sampler, collate_fn=list)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Example]:
        """Batches of one of the evaluation sets, or of data handed over now."""
        items = self._eval_items(eval_dataset)
        self._prepare_run(items)
        sampler = StepSampler(
            len(items),
            self.args.per_device_eval_batch_size * self.args.world_size,
            rank=self.args.process_index,
            processes=self.args.world_size,
        )
        return DataLoader(cast("Dataset[Example]", items), batch_sampler=sampler, collate_fn=list)

    def evaluation_loop(
        self,
        dataloader: DataLoader[Example],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Loss and metrics of all items of the loader, by the code of a training step."""
        model = self.model_wrapped
        model.eval()
        if callable(getattr(self.optimizer, "eval", None)):
            self.optimizer.eval()
        self.callback_handler.eval_dataloader = dataloader
        total = Tally()
        for items in dataloader:
            total.add(self.executor.evaluate(self.stage, model, items))
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        means = self.executor.means(self.stage, total)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in means.metrics.items()}
        metrics[f"{metric_key_prefix}_loss"] = means.loss
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=int(means.items))

    def floating_point_ops(self, inputs: list[Example]) -> int:
        """Multiplications and additions of a step, by the rule of six per parameter and token."""
        tokens = sum(len(each.input_ids) for item in inputs for each in self.stage.sequences(item))
        parameters: int = sum(parameter.numel() for parameter in self.model.parameters())
        return 6 * tokens * parameters

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the run folder: model or adapter, tokenizer, settings, data report, model card.

        All of it is written aside first, so that a full disk or a crash leaves nothing that looks finished. The model
        goes by the name of the folder then, so that a next stage says what it started from.

        Raises:
            CheckpointError: it cannot be written.
        """
        if _internal_call:
            with bars_of_transformers():
                super().save_model(output_dir, _internal_call=True)
            return
        folder = Path(output_dir or self.args.output_dir)
        with written_aside(folder, main=self.args.should_save, wait=self.accelerator.wait_for_everyone) as aside:
            self.save_model(str(aside), _internal_call=True)
            if self.args.should_save:
                (aside / TRAINING_ARGS_NAME).unlink(missing_ok=True)  # a pickle; config.yaml says it in the open
                write_reports(aside, self._run_facts(), self.data_report)
        self.accelerator.unwrap_model(self.model).name_or_path = str(folder)
        if self.args.push_to_hub:
            self.push_to_hub(commit_message="Model save")

    def _save_checkpoint(self, *args: Any, **options: Any) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        with removed_on_failure(folder, main=self.args.should_save):
            super()._save_checkpoint(*args, **options)

    def _run_facts(self) -> RunFacts:
        return RunFacts(
            stage=self.stage_name,
            model=self.model_name,
            settings=self.run_settings | self.config.resolved(),
            adapter=isinstance(self.accelerator.unwrap_model(self.model), PeftModel),
            log=self.state.log_history,
        )

    def _drain_window(self) -> dict[str, float]:
        """Metrics since the last log, over all processes."""
        seconds = max(time.perf_counter() - self._window_start, 1e-9)
        means = self.executor.means(self.stage, self._window)
        self._window, self._window_start = Tally(), 0.0
        return means.metrics | {
            "tokens_per_second": means.sequence_tokens / seconds,
            "tree_tokens_per_second": means.tree_tokens / seconds,
        }

    def _prepare_run(self, items: Sequence[Example]) -> None:
        if not self._probed:
            self.executor.shared = self._probe_sharing(items)
            self.executor.chunked = self._can_chunk()
            self._probed = True
        self._before_run(items)

    def _can_chunk(self) -> bool:
        """Whether logits can be made some rows at a time."""
        if self.accelerator.state.dynamo_plugin.backend != DynamoBackend.NO:
            logger.info("the model is compiled: logits of a row are made at once, and attention pays for its square")
            return False
        with self.accelerator.autocast():
            return all(map(head_is_last, self._models()))

    def _probe_sharing(self, items: Sequence[Example]) -> bool:
        """Compare the token tree with plain sequences on short items among the first; say so when they differ."""
        sequences = [self.stage.sequences(item) for item in items]
        longest = max(_tokens(item) for item in sequences)
        shortest = sorted(sequences[:_PROBE_AMONG], key=_tokens)[: 2 // self.stage.sequences_per_item]
        model = self.accelerator.unwrap_model(self.model)
        with self.accelerator.autocast():
            sharing = check_sharing(model, [each for item in shortest for each in item], longest_sequence=longest)
        if not sharing.shared:
            logger.warning("the token tree is off, every sequence runs by itself: %s", sharing.reason)
        return sharing.shared

    def _logprobs(
        self, model: nn.Module, items: Sequence[Example], wanted: Sequence[int]
    ) -> Iterator[list[tuple[int, list[Tensor]]]]:
        """Log-probs of the scored tokens of the wanted items, some at a time, on every process those of all of them.

        Items that begin alike come together, whatever their order in the data.
        """
        model.to(self.args.device)
        wanted = sorted(wanted, key=lambda i: _sort_keys(self.stage.sequences(items[i])))
        step = self.args.per_device_eval_batch_size * self.args.world_size
        title = "Log-probs of the reference" if self.is_world_process_zero() else None
        for start in with_progress(range(0, len(wanted), step), title, bar=not self.args.disable_tqdm):
            mine = share_of(wanted[start : start + step], self.args.process_index, self.args.world_size)
            found = self.executor.logprobs(self.stage, model, [items[i] for i in mine])
            pairs = list(zip(mine, found, strict=True))
            yield gather_object(pairs) if self.args.world_size > 1 else pairs

    def _examples(self, source: Any, split: str, tokenizer: PreTrainedTokenizerBase) -> list[Example] | None:
        if source is None:
            return None
        records, notes = self._read(source)
        prepared = self._prepare(records, Renderer(tokenizer))
        self.data_report.add(split, name_of(source), len(records), prepared, notes)
        if not prepared.kept:
            raise DataError(
                f"{type(self).__name__}: {split} data: nothing is left to train on;"
                f" left out {self.data_report.counts(split)}"
            )
        return [self._example(each) for each in prepared.kept]

    def _eval_examples(self, source: Any, tokenizer: PreTrainedTokenizerBase) -> Any:
        if isinstance(source, Mapping) and not hasattr(source, "column_names"):
            return {name: self._examples(each, f"eval {name}", tokenizer) for name, each in source.items()}
        return self._examples(source, "eval", tokenizer)

    def _eval_items(self, eval_dataset: Any) -> list[Example]:
        if eval_dataset is None:
            eval_dataset = self.eval_dataset
        if isinstance(eval_dataset, str) and isinstance(self.eval_dataset, dict) and eval_dataset in self.eval_dataset:
            eval_dataset = self.eval_dataset[eval_dataset]
        if eval_dataset is None:
            raise DataError(f"{type(self).__name__}: eval_dataset: is missing; give it the data to evaluate on")
        if eval_dataset is self.eval_dataset or any(eval_dataset is each for each in _sets(self.eval_dataset)):
            items: list[Example] = eval_dataset
            return items
        return self._examples(eval_dataset, "evaluate", self.processing_class) or []

    def _say_template(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if line := ensure_tool_template(tokenizer):
            logger.info(line)
        if str(tokenizer.chat_template).endswith(chatml_tools()):
            self.data_report.general.append(_TEMPLATE_NOTE)

    def _set_up_callbacks(self) -> None:
        """Metrics go to a file; progress goes to the terminal, and nothing to standard output."""
        self.remove_callback(PrinterCallback)
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(ProgressBar)
        self.add_callback(MetricsFile)
        self.add_callback(LastLog)

    def _attend_along_tree(self, model: nn.Module) -> None:
        """On CPU, small matrix products in memory that is used again; GPUs have means of their own."""
        if self.args.device.type == "cpu":
            keep_few_kernels()
            keep_freed_memory()
            if not attend_along_tree(bare_model(model)):
                logger.info("attention along the token tree does not fit this model; it attends as it is configured to")

    def _row_budget(self) -> int:
        """Most tree tokens of a row."""
        on_this_device = _ROW_TOKENS_ON_CPU if self.args.device.type == "cpu" else _ROW_TOKENS_ON_GPU
        return self.config.max_tokens_per_row or on_this_device

    def _row_full(self) -> int | None:
        """Tree tokens of a row whose items share little; None for the budget. On CPU more cost memory."""
        unset = self.config.max_tokens_per_row is None
        return _ROW_FULL_ON_CPU if unset and self.args.device.type == "cpu" else None


def _checked_config(args: StageConfig, wanted: type[StageConfig]) -> StageConfig:
    if not isinstance(args, wanted):
        raise ConfigError(f"args: must be a {wanted.__name__} (got {type(args).__name__}); make one from the settings")
    return args


def _one_batch_a_step(config: StageConfig) -> StageConfig:
    """The settings that the transformers Trainer gets: its batch is a whole step, so it accumulates nothing."""
    args = config.with_one_batch_a_step()
    if args.n_gpu > 1:
        logger.warning("%d GPUs are visible and one is used; start with torchrun or accelerate launch", args.n_gpu)
        args._n_gpu = 1
    return args


def _tokens(sequences: Sequence[ScoredSequence]) -> int:
    """Tokens of the longest sequence of an item."""
    return max(len(each.input_ids) for each in sequences)


def _sort_keys(sequences: Sequence[ScoredSequence]) -> list[bytes]:
    return [sort_key(np.asarray(each.input_ids, np.int64)) for each in sequences]


def _sets(eval_dataset: Any) -> list[Any]:
    return list(eval_dataset.values()) if isinstance(eval_dataset, dict) else [eval_dataset]


def _all_items(eval_dataset: Any) -> list[Any]:
    return [item for items in _sets(eval_dataset) if items for item in items]
