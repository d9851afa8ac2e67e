"""The page on which a person picks the better and the worse reply to each prompt, and what it shows.

The page itself holds no data. `annotate.js` fetches what is made here, with the names that stand here.
"""

from typing import Any

from turnpoint.pairs import Annotation
from turnpoint.report.messages import shown_message, shown_tool
from turnpoint.report.page import page


def annotator_page() -> str:
    """A page of HTML that fetches everything else from where it comes from."""
    return page("annotate", fetches=True)


def shown_state(annotation: Annotation) -> dict[str, Any]:
    """How far the work is: what was said of each prompt, None where nothing was."""
    said = annotation.said
    verdicts = [said[each.drawn.id].verdict if each.drawn.id in said else None for each in annotation.asked]
    return {"verdicts": verdicts, "counts": annotation.counts()}


def shown_prompt(annotation: Annotation, number: int) -> dict[str, Any]:
    """A prompt with its tools and the replies to choose among, and the places of those that were chosen."""
    drawn, ways = annotation.asked[number]
    keys = [way.key for way in ways]
    said = annotation.said.get(drawn.id)
    sides = (said.chosen, said.rejected) if said else (None, None)
    chosen, rejected = (keys.index(side) if side in keys else None for side in sides)
    offered = {tool.name for tool in drawn.tools}
    return {
        "source": drawn.source or drawn.id,
        "tools": [shown_tool(tool) for tool in drawn.tools],
        "prompt": [shown_message(message, message.reasoning or "") for message in drawn.prompt],
        "replies": [
            shown_message(way.message, way.message.reasoning or "")
            | {"cut": way.cut, "unknown": sorted({call.name for call in way.message.tool_calls} - offered)}
            for way in ways
        ],
        "chosen": chosen,
        "rejected": rejected,
    }
