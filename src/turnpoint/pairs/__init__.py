"""Preference pairs out of dialogues, where the data has none."""

from turnpoint.pairs.annotate import Annotation as Annotation
from turnpoint.pairs.annotate import Choice as Choice
from turnpoint.pairs.annotate import Verdict as Verdict
from turnpoint.pairs.choices import ChoicesFile as ChoicesFile
from turnpoint.pairs.draw import row_quotas as row_quotas
from turnpoint.pairs.language_model import LanguageModelWriter as LanguageModelWriter
from turnpoint.pairs.phrases import PhraseBank as PhraseBank
from turnpoint.pairs.phrases import PhraseWriter as PhraseWriter
from turnpoint.pairs.phrases import phrase_bank as phrase_bank
from turnpoint.pairs.samples import SampledReply as SampledReply
from turnpoint.pairs.samples import Samples as Samples
from turnpoint.pairs.samples import prompts_of as prompts_of
from turnpoint.pairs.samples import read_samples as read_samples
from turnpoint.pairs.samples import sample_pairs as sample_pairs
from turnpoint.pairs.trajectories import Built as Built
from turnpoint.pairs.trajectories import trajectory_pairs as trajectory_pairs
from turnpoint.pairs.writer import Writer as Writer
