"""What a dialogue is: messages, tools, pairs; and what each turn of it decides."""

from turnpoint.dialogue.decisions import decisions as decisions
from turnpoint.dialogue.decisions import states as states
from turnpoint.dialogue.edit import join_adjacent_turns as join_adjacent_turns
from turnpoint.dialogue.edit import opening as opening
from turnpoint.dialogue.edit import with_tools as with_tools
from turnpoint.dialogue.faults import parse as parse
from turnpoint.dialogue.images import IMAGE_MARK as IMAGE_MARK
from turnpoint.dialogue.images import Image as Image
from turnpoint.dialogue.kinds import Decision as Decision
from turnpoint.dialogue.kinds import State as State
from turnpoint.dialogue.types import OPENING as OPENING
from turnpoint.dialogue.types import Dialogue as Dialogue
from turnpoint.dialogue.types import Message as Message
from turnpoint.dialogue.types import PreferencePair as PreferencePair
from turnpoint.dialogue.types import Tool as Tool
from turnpoint.dialogue.types import ToolCall as ToolCall
from turnpoint.dialogue.types import prompt_id as prompt_id
