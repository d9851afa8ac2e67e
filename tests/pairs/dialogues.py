"""Dialogues written by hand, one for each way to go, and a writer that says what it was asked for."""

from collections.abc import Sequence
from random import Random

from turnpoint.dialogue import Decision, Dialogue, Message, Tool, ToolCall
from turnpoint.pairs.slots import Slot


def tool(name: str, *required: str, description: str = "") -> Tool:
    properties = {parameter: {"type": "string"} for parameter in required}
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return Tool(name=name, description=description, parameters=schema)


def user(text: str) -> Message:
    return Message(role="user", content=text)


def says(text: str, decision: Decision | None = None) -> Message:
    return Message(role="assistant", content=text, decision=decision)


def calls(name: str, **arguments: object) -> Message:
    return Message(role="assistant", tool_calls=(ToolCall(name=name, arguments=arguments),))


def returns(text: str) -> Message:
    return Message(role="tool", content=text)


BOOK = tool("book_table", "place", "people", "time", description="Books a table at a restaurant.")
WEATHER = tool("weather", "city", "day")
SEND = tool("send_money", "amount", "to")

# 1-2-3-4-5: two slots are asked for.
ASKS = Dialogue(
    messages=(
        user("A table at Luigi's, please."),
        says("For how many people, and at what time?"),
        user("For four at seven."),
        calls("book_table", place="Luigi's", people="four", time="seven"),
        returns('{"booked": true}'),
        says("Your table is booked."),
    ),
    tools=(BOOK,),
    id="asks",
    source="hand:1",
)
# 1-3-4-5: the user gives all.
CALLS = Dialogue(
    messages=(
        user("How will the weather be in Paris tomorrow?"),
        calls("weather", city="Paris", day="tomorrow"),
        returns("sunny"),
        says("It will be sunny."),
    ),
    tools=(WEATHER,),
    id="calls",
    source="hand:2",
)
# The same tools with other values, which a model would make up.
OTHER_WEATHER = CALLS.model_copy(
    update={"messages": (user("How is Rome today?"), calls("weather", city="Rome", day="today"), *CALLS.messages[2:])}
)
OTHER_TABLE = ASKS.model_copy(
    update={
        "messages": (
            user("The Noodle Bar for two at noon."),
            calls("book_table", place="Noodle Bar", people="two", time="noon"),
            *ASKS.messages[4:],
        )
    }
)
# 1-1: no tool fits.
REFUSES = Dialogue(
    messages=(user("Order a pizza."), says("I'm sorry, I can't order pizza.")),
    tools=(WEATHER,),
    id="refuses",
    source="hand:3",
)
# 1-3-4-5 with a go-ahead before the call.
CONFIRMS = Dialogue(
    messages=(
        user("Send 50 dollars to Ann."),
        says("You send 50 dollars to Ann. Shall I go ahead?"),
        user("Yes."),
        calls("send_money", amount=50, to="Ann"),
        returns("done"),
        says("Ann has the money."),
    ),
    tools=(SEND,),
    id="confirms",
    source="hand:4",
)
ALL = (ASKS, CALLS, REFUSES, CONFIRMS)


class PlainWriter:
    """Names what it is given, in brackets."""

    def request(self, said: str, hidden: Sequence[Slot], kept: Sequence[Slot], tool: Tool, random: Random) -> str:
        return f"Please {tool.name} for me, {', '.join(slot.surface for slot in kept)}!"

    def question(self, slots: Sequence[str], tool: Tool, random: Random) -> str:
        return f"Which {', '.join(slots)}?"

    def reply(self, values: Sequence[str], random: Random) -> str:
        return f"[{', '.join(values)}]"

    def rejection(self, missing: Tool | None, offered: Sequence[Tool], random: Random) -> str:
        assert missing is not None
        return f"I can't {missing.name}, I have [{', '.join(tool.name for tool in offered)}]."
