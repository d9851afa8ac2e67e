"""Replies as a model writes them, and the tools of cases in three languages."""

import json
from typing import Any

from turnpoint.dialogue import Message, Tool, ToolCall


def written(name: str, /, **arguments: object) -> str:
    made = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{made}\n</tool_call>"


def described(name: str, /, **parameters: str) -> Tool:
    """A tool whose parameters, all required, have these descriptions; `: integer` at their end is the type."""
    properties = {}
    for parameter, description in parameters.items():
        text, _, kind = description.partition(": ")
        properties[parameter] = {"type": kind or "string", "description": text}
    return Tool(name=name, parameters={"type": "object", "properties": properties, "required": list(parameters)})


def user(text: str) -> Message:
    return Message(role="user", content=text)


def called(name: str, result: Any, /, **arguments: object) -> tuple[Message, Message]:
    """A call and its result."""
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    call = ToolCall(name=name, arguments=arguments)
    return Message(role="assistant", tool_calls=(call,)), Message(role="tool", content=text)


FORECAST = described("get_weather", city="City name", date="Date of the forecast")
FLIGHTS = described("search_flights", origin="Departure city", destination="Arrival city", date="Departure date")
TABLE = described("book_table", restaurant="Its name", party_size="Number of people: integer", time="Time")
CURRENCY = described("convert", amount="Amount: number", from_currency="To convert from", to_currency="To convert to")
TAXI = described("book_taxi", start="출발 위치", dest="도착 위치")
STOCK = described("get_stock_price", stock_name="조회할 주식 이름")
TEXT = described("send_message", recipient="받는 사람", content="메시지 내용")
TRAIN = described("book_ticket", origin="出发城市", destination="到达城市", date="出发日期")
CHINESE_FORECAST = described("get_weather", city="城市名称", date="日期")
