"""Rendering with a tokenizer's own chat template, and the exact token spans of what the assistant wrote."""

from turnpoint.template.builtin import ensure_tool_template as ensure_tool_template
from turnpoint.template.fit import Fit as Fit
from turnpoint.template.fit import Overflow as Overflow
from turnpoint.template.fit import fit_dialogues as fit_dialogues
from turnpoint.template.fit import fit_pairs as fit_pairs
from turnpoint.template.fit import fit_rated as fit_rated
from turnpoint.template.fit import keep_start as keep_start
from turnpoint.template.images import PlacedImage as PlacedImage
from turnpoint.template.images import open_image as open_image
from turnpoint.template.padding import ensure_pad_token as ensure_pad_token
from turnpoint.template.parse import attempts_call as attempts_call
from turnpoint.template.parse import parse_reply as parse_reply
from turnpoint.template.parse import settled_content as settled_content
from turnpoint.template.parse import without_beginning_of as without_beginning_of
from turnpoint.template.render import Renderer as Renderer
from turnpoint.template.render import tokenizer_of as tokenizer_of
from turnpoint.template.spans import TokenizedDialogue as TokenizedDialogue
from turnpoint.template.spans import TokenizedPair as TokenizedPair
from turnpoint.template.spans import Turn as Turn
