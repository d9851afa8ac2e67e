"""The transformers Trainer around the executor: what all stages share.

Optimiser, schedule, distribution, checkpoints and logging are those of transformers. Its batch is one optimiser step.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np
from accelerate.utils import DynamoBackend, gather_object
from accelerate.utils.memory import clear_device_cache
from numpy.typing import NDArray
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProcessorMixin,
    ProgressCallback,
    Trainer,
    TrainerControl,
)
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import EvalLoopOutput, TrainOutput

from turnpoint.errors import ConfigError, DataError
from turnpoint.models import Loader, load_model, load_processing_class, loader
from turnpoint.progress import bars_of_transformers, with_progress
from turnpoint.template import ensure_tool_template
from turnpoint.template.builtin import chatml_tools
from turnpoint.training.callbacks import LastLog, MetricsFile, ProgressBar
from turnpoint.training.configs import StageConfig
from turnpoint.training.device import attend_as_fits, has_image_encoder, row_limits
from turnpoint.training.executor import Executor, Stage, Tally
from turnpoint.training.experts import auxiliary_weight
from turnpoint.training.images import check_can_read_images
from turnpoint.training.model_card import RunFacts
from turnpoint.training.policy import (
    check_base_is_kept,
    check_trainable,
    disable_dropout,
    merged,
    name_of_model,
    save_base,
    sparse_embedding_gradient,
    with_adapter,
)
from turnpoint.training.records import Examples, Kind, Tokenized
from turnpoint.training.run_folder import (
    checkpoint_to_resume,
    keep_one_adapter,
    make_output_folder,
    removed_on_failure,
    write_reports,
    written_aside,
)
from turnpoint.training.sampler import StepSampler, share_of
from turnpoint.training.stage_data import StageData, tokenized_for, tokenizing
from turnpoint.training.stream import Stream, StreamSteps
from turnpoint.tree import ScoredSequence
from turnpoint.tree.build import sort_key
from turnpoint.tree.forward import bare_model
from turnpoint.tree.head import can_score_in_head
from turnpoint.tree.support import Sharing, check_sharing

logger = logging.getLogger(__name__)

Example = TypeVar("Example")

_TEMPLATE_NOTE = "the chat template is turnpoint's ChatML template with tools; it is saved with the model"
_OF_LOADING = ("dtype", "attn_implementation", "trust_remote_code", "revision")  # the command line has them too
_PROBE_AMONG = 16  # items from the start of the data, of which the shortest are probed
_STEPS_SORTED = 512  # of the reference pass, whose items are put beside those that begin alike


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
    kind: ClassVar[Kind]
    stage: Stage[Example]
    control: TrainerControl

    def __init__(
        self,
        model: PreTrainedModel | nn.Module | str,
        args: StageConfig,
        *,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin | None = None,
        peft_config: Any = None,
        callbacks: list[Any] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
    ) -> None:
        self.config = _checked_config(args, self.config_class)
        self.config.check_beside(peft_config, eval_dataset)
        how = self._loading(model)
        of_both = {name: how[name] for name in ("trust_remote_code", "revision") if name in how}
        processing_class = processing_class or load_processing_class(name_of_model(model), **of_both)
        self.make_ready(processing_class)
        model = self.load(model, self.config, **how) if isinstance(model, str) else model
        self.model_name = name_of_model(model) or type(model).__name__
        self._merged_base: Path | None = None
        self.new_adapter = peft_config is not None
        model = self._start_policy(model)
        model = self._with_new_adapter(model, peft_config) if self.new_adapter else model
        check_trainable(model)
        check_base_is_kept(model, str(self.config.output_dir))
        if self.config.disable_dropout:
            disable_dropout(model)
        self._data: StageData[Example] = StageData(
            type(self).__name__, self.config, self.kind_of(self.config), processing_class, self._examples_of
        )
        self._start = model
        self.data_report = self._data.report
        self.run_settings: dict[str, Any] = {name: how[name] for name in _OF_LOADING if name in how}
        self.trained = False
        self._probed = False
        self._window = Tally()
        self._window_start = 0.0
        if str(processing_class.chat_template).endswith(chatml_tools()):
            self.data_report.general.append(_TEMPLATE_NOTE)
        train_examples = self._data.for_training(train_dataset)
        eval_examples = self._data.for_evaluation(eval_dataset)
        make_output_folder(str(self.config.output_dir))  # not before: data that stops a run leaves no folder behind
        super().__init__(
            model=model,
            args=_one_batch_a_step(self.config, model),
            data_collator=list,
            train_dataset=train_examples,
            eval_dataset=eval_examples,
            processing_class=processing_class,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        self._set_up_callbacks()
        auxiliary = auxiliary_weight(model, self.config.router_aux_loss_coef)
        limits = row_limits(self.config.max_tokens_per_row, self.args.device)
        self.executor = Executor(self.accelerator, limits.tokens, limits.full_at, auxiliary)
        attend_as_fits(model, self.accelerator)

    # What a stage says.

    @classmethod
    def kind_of(cls, config: StageConfig) -> Kind:
        """What the stage reads under these settings."""
        return cls.kind

    def _examples(self, records: Tokenized) -> Examples[Example]:
        """What the stage trains on."""
        raise NotImplementedError

    def _models(self) -> list[nn.Module]:
        """All models whose log-probs the stage takes."""
        return [self.accelerator.unwrap_model(self.model)]

    def _groups(self) -> NDArray[np.int64] | None:
        """Of each training item the number of the group whose items stay together; None without groups."""
        return None

    @classmethod
    def load(cls, name: str, config: StageConfig, **how: Any) -> PreTrainedModel:
        """A model that is given by name; `how` is that of `turnpoint.models.load_model`."""
        return load_model(name, **how)

    @classmethod
    def make_ready(cls, processing_class: PreTrainedTokenizerBase | ProcessorMixin) -> None:
        """What a tokenizer lacks for the stage: where its template has no tools, the built-in one."""
        if line := ensure_tool_template(processing_class):
            logger.info(line)

    def _start_policy(self, model: nn.Module) -> nn.Module:
        """What the stage trains, out of the model that the user gave."""
        return model

    def loader(self) -> Loader:
        """What loads the run folder."""
        return loader(adapter=self.trains_adapter, reads_images=isinstance(self.processing_class, ProcessorMixin))

    def _before_run(self, sets: Sequence[Examples[Example]]) -> None:
        """Called with the data of a run before its first step."""

    def _after_step(self, tally: Tally) -> None:
        """Called with the sums of an optimiser step of this process."""

    def _metrics_of_items(self, of_items: list[Tensor]) -> dict[str, float]:
        """Metrics of the items of some steps of all processes that are no mean of what each item has."""
        return {}

    def _evaluation_of_items(self, of_items: list[Tensor]) -> dict[str, float]:
        """The same of the items of an evaluation."""
        return self._metrics_of_items(of_items)

    # What all stages do.

    def _loading(self, model: Any) -> dict[str, Any]:
        """Options for a model that is given by name.

        Raises:
            ConfigError: there are some, and the model is loaded already.
        """
        how = dict(self.config.model_init_kwargs or {})
        if "torch_dtype" in how:
            how["dtype"] = how.pop("torch_dtype")
        if how and not isinstance(model, str):
            raise ConfigError(
                f"{type(self.config).__name__}: model_init_kwargs: the model is loaded already, so that nothing reads"
                f" {', '.join(how)}; load it with them, or give its name"
            )
        if self.config.trust_remote_code is not None and isinstance(model, str):
            how.setdefault("trust_remote_code", self.config.trust_remote_code)
        if "dtype" in how:
            how["dtype"] = str(how["dtype"]).removeprefix("torch.")
        return how

    def _with_new_adapter(self, model: nn.Module, peft_config: Any) -> PeftModel:
        """The model with a new adapter, over the one it has if it has one."""
        if isinstance(model, PeftModel):
            model = self._without_adapter(model)
        return with_adapter(model, peft_config, self.config.seed, str(self._merged_base or name_of_model(model)))

    def _without_adapter(self, model: PeftModel) -> nn.Module:
        """The model with its adapter merged into its weights, which a new adapter needs below it."""
        line = "the adapter that the model has is merged into its weights"
        if self.new_adapter:
            self._merged_base = Path(str(self.config.output_dir)).absolute() / "base"
            line += f"; the new one goes over them, and they are kept in {self._merged_base}"
        logger.info(line)
        return merged(model)

    @property
    def trains_adapter(self) -> bool:
        """Whether the run folder holds an adapter."""
        return isinstance(self.accelerator.unwrap_model(self.model), PeftModel)

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
        self._keep_merged_base()
        self._prepare_run([cast("Examples[Example]", self.train_dataset), *filter(None, _sets(self.eval_dataset))])
        self.trained = True
        alone_on_cpu = self.args.device.type == "cpu" and self.args.world_size == 1
        with sparse_embedding_gradient(self.model) if alone_on_cpu else nullcontext():
            output = super().train(resume_from_checkpoint=resume_from_checkpoint or None, **options)
        if isinstance(self.train_dataset, Stream):  # only now is it known what became of it
            self.train_dataset.facts.notes.append("a stream: read as far as the run went, and some rows ahead")
            self.data_report.add("train", self.train_dataset.facts)
        return output

    def _keep_merged_base(self) -> None:
        """Write the weights that the new adapter needs below it, which are nowhere else."""
        if self._merged_base is None:
            return
        wait = self.accelerator.wait_for_everyone
        with written_aside(self._merged_base, main=self.args.should_save, wait=wait) as aside, bars_of_transformers():
            if self.args.should_save:
                save_base(cast("PeftModel", self.model), aside)

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
        self._after_step(result.tally)
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
        if isinstance(self.train_dataset, Stream):
            steps = StreamSteps(
                self.train_dataset.one_pass,
                self.args.max_steps,
                self.args.per_device_train_batch_size * self.args.world_size,
                rank=self.args.process_index,
                processes=self.args.world_size,
                drop_last=self.args.dataloader_drop_last,
            )
            return DataLoader(steps, batch_size=None, collate_fn=list)
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
        items = self._eval_set(eval_dataset)
        self._prepare_run([items])
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
        metrics = means.metrics | {"loss": means.loss} | self._evaluation_of_items(self._everywhere(total))
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
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
        if _internal_call and output_dir is not None:
            with bars_of_transformers():
                super().save_model(output_dir, _internal_call=True)
            return
        folder = Path(output_dir or self.args.output_dir)
        with written_aside(folder, main=self.args.should_save, wait=self.accelerator.wait_for_everyone) as aside:
            self.save_model(str(aside), _internal_call=True)
            policy = self.accelerator.unwrap_model(self.model)
            if self.args.should_save and isinstance(policy, PeftModel):
                keep_one_adapter(aside, policy.active_adapter)
            if self.args.should_save:
                (aside / TRAINING_ARGS_NAME).unlink(missing_ok=True)  # a pickle; config.yaml says it in the open
                write_reports(aside, self._run_facts(), self.data_report)
        self.accelerator.unwrap_model(self.model).name_or_path = str(folder)
        if self.args.push_to_hub and not _internal_call:  # which is what pushing calls
            if self._merged_base is not None:
                logger.warning("the adapter needs the weights in %s, which are on this machine only", self._merged_base)
            self.push_to_hub(commit_message="Model save")

    def _load_best_model(self) -> None:
        """As transformers does; an adapter of another name than `default` lies in a folder of the checkpoint."""
        policy = self.model
        if isinstance(policy, PeftModel):
            own = Path(str(self.state.best_model_checkpoint)) / policy.active_adapter
            if own.is_dir():
                policy.load_adapter(str(own), policy.active_adapter, is_trainable=True)
                return
        super()._load_best_model()

    def create_model_card(self, *args: Any, **options: Any) -> None:
        """The card that `save_model` writes, which says what was trained on what, in the place of transformers' own."""
        write_reports(Path(str(self.args.output_dir)), self._run_facts(), self.data_report)

    def _save_checkpoint(self, *args: Any, **options: Any) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        with removed_on_failure(folder, main=self.args.should_save):
            super()._save_checkpoint(*args, **options)

    def _run_facts(self) -> RunFacts:
        return RunFacts(
            stage=self.stage_name,
            model=self.model_name,
            settings=self.run_settings | self.config.resolved(),
            adapter=self.trains_adapter,
            by=self.loader(),
            log=self.state.log_history,
        )

    def _drain_window(self) -> dict[str, float]:
        """Metrics since the last log, over all processes."""
        seconds = max(time.perf_counter() - self._window_start, 1e-9)
        means = self.executor.means(self.stage, self._window)
        of_items = self._everywhere(self._window)
        self._window, self._window_start = Tally(), 0.0
        return (
            means.metrics
            | self._metrics_of_items(of_items)
            | {
                "tokens_per_second": means.sequence_tokens / seconds,
                "tree_tokens_per_second": means.tree_tokens / seconds,
            }
        )

    def _everywhere(self, tally: Tally) -> list[Tensor]:
        """What is known of each item by itself, of all processes."""
        found: list[Tensor] = gather_object(tally.of_items) if self.args.world_size > 1 else tally.of_items
        return found

    def _prepare_run(self, sets: Sequence[Examples[Example] | Stream[Example]]) -> None:
        if not self._probed:
            known: list[Any] = [self.train_dataset, *_sets(self.eval_dataset)]
            self.executor.shared = self._probe_sharing([*sets, *filter(None, known)])
            self.executor.chunked = self._can_chunk()
            self._probed = True
        self._before_run([each for each in sets if isinstance(each, Examples)])

    def _can_chunk(self) -> bool:
        """Whether logits can be made some rows at a time."""
        if self.accelerator.state.dynamo_plugin.backend != DynamoBackend.NO:
            logger.info("the model is compiled: logits of a row are made at once, and attention pays for its square")
            return False
        with self.accelerator.autocast():
            return all(map(can_score_in_head, self._models()))

    def _probe_sharing(self, sets: Sequence[Examples[Example] | Stream[Example]]) -> bool:
        """Compare the token tree with plain sequences on short items among the first; say so when they differ."""
        known = [each.longest if isinstance(each, Examples) else self.config.max_length for each in sets]
        longest = None if None in known else max(filter(None, known))
        sequences, lacking = self._tried(sets[0])
        model = self.accelerator.unwrap_model(self.model)
        with self.accelerator.autocast():
            sharing = check_sharing(model, sequences, longest_sequence=longest, score=self.stage.score)
        if sharing.shared and lacking:
            sharing = Sharing(False, lacking)
        if sharing.shared and self.executor.auxiliary:
            sharing = Sharing(False, "the auxiliary loss of the experts is that of plain sequences")
        if not sharing.shared:
            logger.warning("the token tree is off, every sequence runs by itself: %s", sharing.reason)
        return sharing.shared

    def _tried(self, items: Examples[Example] | Stream[Example]) -> tuple[list[ScoredSequence], str]:
        """Sequences that tell whether the tree holds: short ones of the first, without images and with two different.

        Returns:
            They, and what could not be tried, empty where nothing.
        """
        if isinstance(items, Examples):
            with_images = items.records.with_images()[:_PROBE_AMONG].tolist()
            first = [items[i] for i in sorted({*range(min(_PROBE_AMONG, len(items))), *with_images})]
        else:
            first = list(islice(items.one_pass(0), _PROBE_AMONG))
        by_images: dict[tuple[int, ...], list[Sequence[ScoredSequence]]] = {}
        for sequences in sorted((self.stage.sequences(item) for item in first), key=_longest):
            by_images.setdefault(tuple(image.key for each in sequences for image in each.images), []).append(sequences)
        plain = by_images.pop((), [])[: 2 // self.stage.sequences_per_item]
        shown = [each[0] for each in by_images.values()][:2]
        reads = isinstance(self.processing_class, ProcessorMixin) and isinstance(items, Stream)
        lacking = f"none of the first {len(first)} rows of the stream holds an image to try it on"
        return [each for item in (*plain, *shown) for each in item], lacking if reads and not shown else ""

    def _logprobs(
        self, model: nn.Module, items: Sequence[Example], wanted: NDArray[np.int64]
    ) -> Iterator[list[tuple[int, list[Tensor]]]]:
        """Log-probs of the scored tokens of the wanted items, some at a time, on every process those of all of them.

        Items that begin alike come together, within as many as are sorted at a time.
        """
        model.to(self.args.device)
        title = "Log-probs of the reference" if self.is_world_process_zero() else None
        step = self.args.per_device_eval_batch_size * self.args.world_size
        steps = self._alike(items, wanted, step)
        total = -(-len(wanted) // step)
        for together in with_progress(steps, title, total=total, bar=not self.args.disable_tqdm):
            mine = share_of(together, self.args.process_index, self.args.world_size)
            found = self.executor.logprobs(self.stage, model, [items[i] for i in mine])
            pairs = list(zip(mine, found, strict=True))
            yield gather_object(pairs) if self.args.world_size > 1 else pairs

    def _alike(self, items: Sequence[Example], wanted: NDArray[np.int64], step: int) -> Iterator[list[int]]:
        """The wanted items, `step` at a time, sorted by their tokens within each `_STEPS_SORTED` steps."""
        for start in range(0, len(wanted), step * _STEPS_SORTED):
            some = wanted[start : start + step * _STEPS_SORTED].tolist()
            in_order = sorted(some, key=lambda i: _sort_keys(self.stage.sequences(items[i])))
            yield from (in_order[at : at + step] for at in range(0, len(in_order), step))

    @classmethod
    def tokenize(
        cls, source: Any, processing_class: PreTrainedTokenizerBase | ProcessorMixin, config: StageConfig
    ) -> Tokenized:
        """Read and tokenise data before there is a model; the trainer takes the result as a data set.

        Args:
            source: anything `turnpoint.data.Source` takes as origin, or a Source.
            processing_class: that of the trainer; a tokenizer gets the built-in tool template where its own has no
                tools, as there.
            config: settings of the trainer.

        Raises:
            ConfigError: the source is a stream.
            DataError: the source is missing, or a row breaks a rule.
            TemplateError: the template cannot render a record exactly.
            CheckpointError: the result cannot be written or read.
        """
        cls.make_ready(processing_class)
        return tokenized_for(source, tokenizing(processing_class, cls.kind_of(config), config), config)

    def _eval_set(self, eval_dataset: Any) -> Examples[Example]:
        if eval_dataset is None:
            eval_dataset = self.eval_dataset
        if isinstance(eval_dataset, str) and isinstance(self.eval_dataset, dict) and eval_dataset in self.eval_dataset:
            eval_dataset = self.eval_dataset[eval_dataset]
        if eval_dataset is None:
            raise DataError(f"{type(self).__name__}: eval_dataset: is missing; give it the data to evaluate on")
        if not isinstance(eval_dataset, Examples):
            eval_dataset = self._data.examples(eval_dataset, "evaluate")
        examples: Examples[Example] = eval_dataset
        return examples

    def _examples_of(self, records: Tokenized) -> Examples[Example]:
        """What the stage trains on, once it is known that the model can read it."""
        if len(records.with_images()):
            check_can_read_images(self._start, self.config, type(self).__name__)
        return self._examples(records)

    def _set_up_callbacks(self) -> None:
        """Metrics go to a file; progress goes to the terminal, and nothing to standard output."""
        self.remove_callback(PrinterCallback)
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(ProgressBar)
        self.add_callback(MetricsFile)
        self.add_callback(LastLog)


def _checked_config(args: StageConfig, wanted: type[StageConfig]) -> StageConfig:
    if not isinstance(args, wanted):
        raise ConfigError(f"args: must be a {wanted.__name__} (got {type(args).__name__}); make one from the settings")
    return args


def _one_batch_a_step(config: StageConfig, model: nn.Module) -> StageConfig:
    """The settings that the transformers Trainer gets: its batch is a whole step, so it accumulates nothing.

    A row without images leaves the weights of an image encoder out, which DDP then has to look for.
    """
    args = config.with_one_batch_a_step()
    args.ddp_find_unused_parameters = args.ddp_find_unused_parameters or has_image_encoder(bare_model(model))
    if args.n_gpu > 1:
        logger.warning("%d GPUs are visible and one is used; start with torchrun or accelerate launch", args.n_gpu)
        args._n_gpu = 1
    return args


def _longest(sequences: Sequence[ScoredSequence]) -> int:
    """Tokens of the longest sequence of an item."""
    return max(len(each.input_ids) for each in sequences)


def _sort_keys(sequences: Sequence[ScoredSequence]) -> list[bytes]:
    return [sort_key(np.asarray(each.input_ids, np.int64)) for each in sequences]


def _sets(eval_dataset: Any) -> list[Any]:
    return list(eval_dataset.values()) if isinstance(eval_dataset, dict) else [eval_dataset]
