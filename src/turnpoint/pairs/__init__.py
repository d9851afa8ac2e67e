"""Preference pairs out of dialogues, where the data has none."""

from turnpoint.pairs.phrases import PhraseWriter as PhraseWriter
from turnpoint.pairs.trajectories import Built as Built
from turnpoint.pairs.trajectories import trajectory_pairs as trajectory_pairs
from turnpoint.pairs.writer import Writer as Writer
