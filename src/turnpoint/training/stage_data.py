"""The data sets of a stage: tokenised as its settings say, what became of them, and what the stage makes of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from turnpoint.data import Source
from turnpoint.data.split import Part
from turnpoint.errors import ConfigError, DataError
from turnpoint.training.configs import StageConfig
from turnpoint.training.data_report import DataReport, in_words
from turnpoint.training.records import Example, Examples, Kind, Tokenized
from turnpoint.training.stream import Stream
from turnpoint.training.tokenized import Tokenizing, tokenize


def tokenizing(
    processing_class: PreTrainedTokenizerBase | ProcessorMixin, kind: Kind, config: StageConfig
) -> Tokenizing:
    """How a stage with these settings tokenises what it trains on."""
    shares = config.data_split
    part = None if shares is None else Part(tuple(shares), config.part)
    return Tokenizing(processing_class, kind, config.max_length, config.overflow, config.dataset_num_proc, part)


def tokenized_for(source: Any, how: Tokenizing, config: StageConfig) -> Tokenized:
    """Read and tokenise a source for a stage; errors are those of `turnpoint.training.tokenized.tokenize`."""
    return tokenize(
        source if isinstance(source, Source) else Source(source),
        how,
        first=config.main_process_first,
        title=f"Tokenising {how.kind.name}" if config.local_process_index == 0 else None,
        bar=not config.disable_tqdm,
    )


@dataclass
class StageData(Generic[Example]):
    """Makes the data sets of a stage out of whatever it is handed.

    Args:
        stage: name of its trainer, for errors.
        config: its settings.
        kind: what it reads.
        processing_class: a tokenizer, or a processor.
        make: examples of tokenised records.
        report: what became of each of them.
    """

    stage: str
    config: StageConfig
    kind: Kind
    processing_class: PreTrainedTokenizerBase | ProcessorMixin
    make: Callable[[Tokenized], Examples[Example]]
    report: DataReport = field(default_factory=DataReport)

    def for_training(self, source: Any) -> Examples[Example] | Stream[Example] | None:
        """What is trained on; None where nothing is given."""
        origin = source if isinstance(source, Source) else Source(source)
        if not origin.streams:
            return self.examples(source, "train")
        self.config.check_stream()
        return Stream(origin, self._how("train"), self.make)

    def for_evaluation(self, source: Any) -> Any:
        """What is evaluated on: examples, several by name, or None."""
        if isinstance(source, Mapping) and not hasattr(source, "column_names"):
            return {name: self.examples(each, f"eval {name}") for name, each in source.items()}
        return self.examples(source, "eval")

    def examples(self, source: Any, split: str) -> Examples[Example] | None:
        """Examples of a source, which is tokenised unless it is already.

        Args:
            source: anything `turnpoint.data.Source` takes as origin, a Source, or a `Tokenized`.
            split: how the report calls it.

        Raises:
            ConfigError: it was tokenised with other settings.
            DataError: nothing of it is left, or it holds something else.
        """
        if source is None:
            return None
        if isinstance(source, Tokenized):
            self._check_tokenized(source, split)
            records = source
        else:
            records = tokenized_for(source, self._how(split), self.config)
        self.report.add(split, records.facts)
        if not records:
            raise DataError(
                f"{self.stage}: {split} data: nothing is left to train on; left out {in_words(records.facts.left_out)}"
            )
        return self.make(records)

    def _how(self, split: str) -> Tokenizing:
        """What is evaluated on is taken whole, whatever share of the training data a stage has."""
        how = tokenizing(self.processing_class, self.kind, self.config)
        return how if split == "train" else replace(how, part=None)

    def _check_tokenized(self, records: Tokenized, split: str) -> None:
        """Refuse data that was tokenised in another way than the settings say, or for another stage."""
        where = f"{self.stage}: data of {records.facts.source}"
        if records.kind != self.kind:
            raise DataError(f"{where}: holds {records.kind.name} where {self.kind.name} are needed")
        wanted, found = self._how(split).settings, records.facts.settings
        for name in wanted | found:
            if found.get(name) != wanted.get(name) and name != "date":  # what was made ready yesterday is as good
                raise ConfigError(
                    f"{where}: was tokenised with another {name} ({found.get(name)!r}, not {wanted.get(name)!r});"
                    " tokenise it with this tokenizer and these settings"
                )
