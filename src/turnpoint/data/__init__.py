"""Readers of data formats, and loading of files, folders, hub data sets and what is handed over."""

from turnpoint.data.load import Loaded as Loaded
from turnpoint.data.load import load as load
from turnpoint.data.load import load_dialogues as load_dialogues
from turnpoint.data.load import load_pairs as load_pairs
from turnpoint.data.reading import Opened as Opened
from turnpoint.data.source import Source as Source
from turnpoint.data.split import part_of as part_of
from turnpoint.data.split import stage_split as stage_split
from turnpoint.data.write import Form as Form
from turnpoint.data.write import write_dialogues as write_dialogues
from turnpoint.data.write import write_pairs as write_pairs
