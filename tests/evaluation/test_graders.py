"""Replies written by hand and how they are graded: by what they decide, and by whether what they say is right."""

from collections.abc import Sequence

import pytest
from tests.evaluation.replies import (
    CHINESE_FORECAST,
    CURRENCY,
    FLIGHTS,
    FORECAST,
    STOCK,
    TABLE,
    TAXI,
    TEXT,
    TRAIN,
    called,
    described,
    user,
    written,
)
from tests.pairs.dialogues import CALLS, SEND, WEATHER

from turnpoint.dialogue import Decision, Message, Tool, ToolCall, decisions
from turnpoint.evaluation import DecisionItem, grade, strict
from turnpoint.evaluation.graders import MALFORMED, by_decision, decision_of
from turnpoint.evaluation.items import KINDS
from turnpoint.recipes.dialogues import demo_parts
from turnpoint.sampling import Reply

CALL, SLOT, RELEVANCE, COMPLETION = Decision.CALL, Decision.SLOT, Decision.RELEVANCE, Decision.COMPLETION
RIGHT = written("weather", city="Paris", day="tomorrow")
BROKEN = '<tool_call>\n{"name": "weather", "arguments": {"city": "Pa'
QUESTION = "Which city do you mean?"
REFUSAL = "I'm sorry, but I can't do that."
ANSWER = "It will be sunny."


def item(kind: Decision) -> DecisionItem:
    return DecisionItem(CALLS.messages[:1], (WEATHER, SEND), kind, CALLS.messages[1].tool_calls, "hand")


def passes(at: DecisionItem, reply: str) -> bool:
    return grade(at, Reply(reply, cut=False)).passed


def is_right(kind: Decision, tools: Sequence[Tool], context: Sequence[Message], reply: str) -> tuple[bool, str]:
    """Whether a reply passes by decision and content, where nobody knows the right call."""
    found = strict(DecisionItem(tuple(context), tuple(tools), kind, (), "hand"), Reply(reply, cut=False))
    return found.passed, found.reason


@pytest.mark.parametrize(
    ("reply", "decided"),
    [
        (RIGHT, CALL),
        (f"Let me look. {RIGHT}", CALL),
        (f"{REFUSAL} {RIGHT}", CALL),
        ('{"name": "weather", "parameters": {"city": "Paris"}}', CALL),
        (QUESTION, SLOT),
        ("Please tell me the city.", SLOT),
        (REFUSAL, RELEVANCE),
        (f"{REFUSAL} Is there anything else?", RELEVANCE),
        (ANSWER, COMPLETION),
        ("", COMPLETION),
        (BROKEN, MALFORMED),
        (f"{QUESTION} {BROKEN}", MALFORMED),
        (RIGHT + BROKEN, MALFORMED),
    ],
)
def test_what_a_reply_decides(reply: str, decided: str) -> None:
    assert decision_of(reply) == decided
    assert by_decision(item(SLOT), Reply(reply, cut=False)).passed is (decided == SLOT)


@pytest.mark.parametrize(
    ("kind", "reply", "passed"),
    [
        (CALL, RIGHT, True),
        (CALL, written("weather", city="Rome"), True),  # the decision is right, the arguments are counted beside it
        (CALL, RIGHT + "\n" + RIGHT, True),
        (CALL, written("send_money"), False),
        (CALL, RIGHT + written("send_money"), False),
        (CALL, BROKEN, False),
        (CALL, RIGHT + BROKEN, False),
        (CALL, QUESTION, False),
        (CALL, REFUSAL, False),
        (CALL, ANSWER, False),
        (CALL, "", False),
        (SLOT, QUESTION, True),
        (SLOT, f"{QUESTION} {RIGHT}", False),
        (SLOT, f"{REFUSAL} {QUESTION}", False),
        (SLOT, f"{QUESTION} {BROKEN}", False),
        (SLOT, ANSWER, False),
        (SLOT, RIGHT, False),
        (RELEVANCE, REFUSAL, True),
        (RELEVANCE, f"{REFUSAL} {RIGHT}", False),
        (RELEVANCE, QUESTION, False),
        (RELEVANCE, ANSWER, False),
        (RELEVANCE, BROKEN, False),
        (RELEVANCE, f"{REFUSAL} {BROKEN}", False),
        (COMPLETION, ANSWER, True),
        (COMPLETION, f"{ANSWER} Anything else?", True),
        (COMPLETION, BROKEN, False),
        (COMPLETION, f"{ANSWER} {BROKEN}", False),
        (COMPLETION, QUESTION, False),
        (COMPLETION, REFUSAL, False),
        (COMPLETION, f"{ANSWER} {RIGHT}", False),
        (COMPLETION, "", False),
    ],
)
def test_what_passes(kind: Decision, reply: str, passed: bool) -> None:
    verdict = grade(item(kind), Reply(reply, cut=False))
    assert verdict.passed is passed
    assert verdict.reason


def test_a_question_that_names_what_was_found_is_an_answer() -> None:
    after_result = item(COMPLETION)._replace(context=CALLS.messages[:3])
    assert passes(after_result, "How about sunny?")
    assert not passes(after_result, "How about Paris?")


def test_what_passes_counts_as_the_decision_that_was_asked_for() -> None:
    """By its text alone the closing question would make the answer a question."""
    assert grade(item(COMPLETION), Reply(f"{ANSWER} Anything else?", cut=False)).decided == COMPLETION
    assert grade(item(SLOT), Reply(ANSWER, cut=False)).decided == COMPLETION


def test_the_shipped_dialogues_pass_by_their_own_turns() -> None:
    """Of 1311 turns 5 fail: two say what it depends on, three only ask what else is to do.

    With their content, which real dialogues do not always get right either, 1228 pass.
    """
    passed, right, turns = 0, 0, 0
    for dialogue in (each for part in demo_parts() for each in part):
        for i, kind in zip(dialogue.turns, decisions(dialogue), strict=True):
            message = dialogue.messages[i]
            after_result = dialogue.messages[i - 1].role == "tool"
            if message.tool_calls or kind not in KINDS or (kind is COMPLETION and not after_result):
                continue
            next_calls = next((m.tool_calls for m in dialogue.messages[i:] if m.tool_calls), ())
            at = DecisionItem(dialogue.messages[:i], dialogue.tools, kind, next_calls, dialogue.source)
            verdict = grade(at, Reply(message.content or "", cut=False))
            passed, turns = passed + verdict.passed, turns + 1
            right += verdict.passed and verdict.content is not False
    assert turns > 1000
    assert passed / turns > 0.99
    assert right / turns > 0.9


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        (RIGHT, True),
        (written("weather", day="tomorrow", city="Paris"), True),
        (written("weather", day="Tomorrow", city="paris"), True),
        (f"One moment. {RIGHT}", True),
        (written("weather", city="Paris"), False),
        (written("weather", city="Rome", day="tomorrow"), False),
        (written("weather", city="Paris", day="tomorrow", hour=3), False),
        (written("send_money", city="Paris", day="tomorrow"), False),
        (RIGHT + RIGHT, False),
        (BROKEN, False),
        ("", False),
    ],
)
def test_right_arguments(reply: str, right: bool) -> None:
    assert grade(item(CALL), Reply(reply, cut=False)).content is right
    assert strict(item(CALL), Reply(reply, cut=False)).passed is right


def test_parallel_calls_in_any_order_and_nested_arguments() -> None:
    nested = {"a": [1, {"x": 1, "y": 2}], "b": None}
    both = (ToolCall(name="f", arguments=nested, id="1"), ToolCall(name="g", arguments={}))
    tools = (described("f", a="A: array", b="B: null"), described("g"))
    wanted = item(CALL)._replace(calls=both, tools=tools)
    turned = written("f", b=None, a=[1, {"y": 2, "x": 1}])
    assert strict(wanted, Reply(written("g") + turned, cut=False)).passed
    assert not strict(wanted, Reply(turned, cut=False)).passed


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"party_size": 4, "restaurant": "luigis", "time": "19:00"}, ""),
        ({"party_size": 4.0, "restaurant": "Luigi's", "time": "19:00"}, ""),
        ({"party_size": "4", "restaurant": "Luigi's", "time": "19:00"}, "breaks the schema: party_size: '4' is not of"),
        ({"party_size": 5, "restaurant": "Luigi's", "time": "19:00"}, "gives party_size=5 for 4"),
        ({"party_size": 4, "restaurant": "Luigi's"}, "leaves out time='19:00'"),
        ({"party_size": 4, "restaurant": "Luigi's", "time": "19:00", "note": "window"}, "adds note='window'"),
        ({"party_size": 4, "restaurant": "Luigi's", "time": "19:00", "name": "Ann"}, "adds name='Ann'"),
    ],
)
def test_what_is_wrong_with_arguments_is_said(arguments: dict[str, object], fault: str) -> None:
    due = (ToolCall(name="book_table", arguments={"restaurant": "Luigi's", "party_size": 4, "time": "19:00"}),)
    at = DecisionItem((user("Luigi's at 7pm for four, for Ann"),), (TABLE,), CALL, due, "hand")
    verdict = strict(at, Reply(written("book_table", **arguments), cut=False))
    assert verdict.passed is (not fault)
    assert fault in verdict.reason


def test_a_default_may_be_written_or_left_out() -> None:
    tool = described("forecast", city="City")
    tool.parameters["properties"]["unit"] = {"type": "string", "default": "celsius"}
    plain, full = {"city": "Rome"}, {"city": "Rome", "unit": "celsius"}
    asked = {**full, "unit": "kelvin"}
    for given, made, passed in ((plain, full, True), (full, plain, True), (plain, asked, False)):
        at = DecisionItem((user("Rome?"),), (tool,), CALL, (ToolCall(name="forecast", arguments=given),), "hand")
        assert strict(at, Reply(written("forecast", **made), cut=False)).passed is passed
    due = (ToolCall(name="forecast", arguments=plain),)
    said = DecisionItem((user("Rome in kelvin?"),), (tool,), CALL, due, "hand")
    assert strict(said, Reply(written("forecast", **asked), cut=False)).passed  # since the user said so


def test_without_a_right_call_the_values_must_have_been_said() -> None:
    context = [user("Weather in Paris on 2024-05-01?")]
    assert is_right(CALL, [FORECAST], context, written("get_weather", city="Paris", date="2024-05-01"))[0]
    made_up = is_right(CALL, [FORECAST], context, written("get_weather", city="Rome", date="2024-05-01"))
    assert made_up == (False, "calls get_weather, but makes up city='Rome'")
    assert not is_right(CALL, [FORECAST], context, written("get_weather", city="Paris"))[0]
    assert not is_right(CALL, [FORECAST], context, written("get_time", city="Paris"))[0]


def test_a_sensible_question_in_the_place_of_a_call_is_marked() -> None:
    """It fails, and only the calibrated column forgives it."""
    for reply, forgiven in ((QUESTION, True), ("How can I help?", False), (ANSWER, False), (REFUSAL, False)):
        verdict = grade(item(CALL), Reply(reply, cut=False))
        assert (verdict.passed, verdict.forgiven) == (False, forgiven), reply


PARIS = [user("What's the weather like in Paris?")]
TO_ROME = [user("I need a flight to Rome on May 3rd.")]
LUIGI = [user("Book a table at Luigi's tonight for 4 people.")]
BY_TAXI = [user("택시 불러줘. 출발지는 롯데시네마 위례야.")]
STOCKS = [user("지금 주식 가격 알아?")]
BEIJING = [user("帮我查一下北京的天气")]
SHANGHAI = [user("我要订一张明天去上海的火车票")]


@pytest.mark.parametrize(
    ("tool", "context", "reply", "right"),
    [
        (FORECAST, PARIS, "For which date would you like the forecast?", True),
        (FORECAST, PARIS, "When?", True),
        (FORECAST, PARIS, "I can check that for you. I just need the date.", True),
        (FORECAST, PARIS, "Which city do you mean?", False),
        (FORECAST, PARIS, "How can I help you?", False),
        (FORECAST, PARIS, "Could you give me more details?", False),
        (FORECAST, PARIS, "Do you prefer Celsius or Fahrenheit?", False),
        (FORECAST, PARIS, "Let me check the weather in Paris.", False),
        (FORECAST, PARIS, "and when would that be", True),
        (FORECAST, PARIS, "I can't look it up yet, since I still need the date.", True),
        (FORECAST, PARIS, "I'm sorry, I can't look up the date.", False),
        (FORECAST, PARIS, "Done, it is in your calendar. Is there anything else you need on that date?", False),
        (FLIGHTS, TO_ROME, "Which city are you flying from?", True),
        (FLIGHTS, TO_ROME, "Where will you be departing from?", True),
        (FLIGHTS, TO_ROME, "Where would you like to go?", False),
        (FLIGHTS, TO_ROME, "What date do you want to fly?", False),
        (FLIGHTS, TO_ROME, "Which airline do you prefer?", False),
        (TABLE, LUIGI, "At what time?", True),
        (TABLE, LUIGI, "How many people will be dining?", False),
        (TABLE, LUIGI, "What's your name?", False),
        (CURRENCY, [user("Convert US dollars to euros for me")], "How much would you like to convert?", True),
        (CURRENCY, [user("Convert US dollars to euros for me")], "Which currency do you want to convert to?", False),
        (TAXI, BY_TAXI, "도착 위치를 알려주세요.", True),
        (TAXI, BY_TAXI, "어디로 가시나요?", True),
        (TAXI, BY_TAXI, "도착지를 말씀해 주시면 바로 호출해 드릴게요.", True),
        (TAXI, BY_TAXI, "어디서 출발하시나요?", False),
        (TAXI, BY_TAXI, "무엇을 도와드릴까요?", False),
        (TAXI, BY_TAXI, "도착지를 아직 몰라서 호출할 수 없어요. 어디로 갈까", True),
        (STOCK, STOCKS, "어느 종목이 궁금하세요?", True),
        (STOCK, STOCKS, "조회할 주식 이름을 알려주세요.", True),
        (STOCK, STOCKS, "현재 주식 가격은 70,000원입니다.", False),
        (TEXT, [user("민수한테 메시지 좀 보내줘")], "뭐라고 보낼까요?", True),
        (TEXT, [user("민수한테 메시지 좀 보내줘")], "누구에게 보낼까요?", False),
        (CHINESE_FORECAST, BEIJING, "请问您想查询哪一天的天气\uff1f", True),
        (CHINESE_FORECAST, BEIJING, "请问是哪个城市\uff1f", False),
        (TRAIN, SHANGHAI, "请告诉我出发城市。", True),
        (TRAIN, SHANGHAI, "您要去哪里\uff1f", False),
        (TRAIN, SHANGHAI, "您打算哪天出发\uff1f", False),
    ],
)
def test_a_question_names_a_missing_slot(tool: Tool, context: list[Message], reply: str, right: bool) -> None:
    passed, reason = is_right(SLOT, [tool], context, reply)
    assert passed is right, reason


def test_where_the_later_call_is_known_a_question_for_what_was_said_is_wrong() -> None:
    later = (ToolCall(name="get_weather", arguments={"city": "Paris", "date": "tomorrow"}),)
    at = DecisionItem((user("Paris, please."),), (FORECAST,), SLOT, later, "hand")
    assert strict(at, Reply("Which date?", cut=False)).reason == "asks for date"
    wrong = strict(at, Reply("Which city?", cut=False))
    assert (wrong.passed, wrong.sure) == (False, False)
    assert wrong.reason == "asks for city, where date should be asked for"
    held_out = at._replace(slots=("city",))  # as a benchmark names it
    assert strict(held_out, Reply("Which city?", cut=False)).passed


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("Ordering food isn't something I can do, but I can check the weather.", True),
        ("Unfortunately, none of my tools can place orders.", True),
        ("I only have access to weather information.", True),
        ("There's no function for that here.", True),
        ("I lack the ability to place food orders.", True),
        ("Pizzas aren't something I'm set up for. Shall I check the weather instead?", True),
        ("Sure! What size pizza would you like?", False),
        ("Your pizza has been ordered.", False),
        ("I can't wait to order that for you!", False),
        ("Sorry to hear that you're hungry! Let me get that for you.", False),
        ("그 요청은 제가 처리하기 어렵습니다.", True),
        ("제가 할 수 있는 일이 아니에요. 날씨만 확인해 드릴 수 있어요.", True),
        ("해당 기능이 없어 도와드릴 수가 없네요.", True),
        ("주문 기능은 제공하고 있지 않습니다. 날씨가 궁금하시면 말씀해 주시겠어요?", True),
        ("네, 주문해 드릴게요.", False),
        ("어떤 피자를 원하시나요?", False),
        ("很遗憾\uff0c这超出了我的能力范围。", True),
        ("我没有订餐的功能。", True),
        ("好的\uff0c已为您下单。", False),
    ],
)
def test_a_rejection(reply: str, right: bool) -> None:
    passed, reason = is_right(RELEVANCE, [FORECAST], [user("Order a pizza.")], reply)
    assert passed is right, reason


SUNNY = [user("Paris tomorrow?"), *called("get_weather", {"temp_c": 21, "condition": "sunny"}, city="Paris")]
AT_LUIGI = {"restaurant": "Luigi's", "time": "19:00"}
FULL = [user("Luigi's at 7pm for 4"), *called("book_table", {"error": "no tables available"}, **AT_LUIGI)]
BOOKED = [user("Luigi's at 7pm for 4"), *called("book_table", {"status": "success", "booking_id": "B-552"}, **AT_LUIGI)]
CLOCK = [user("지금 몇 시야?"), *called("clock", {"now": "2024-05-19 19:05:56"})]
PRICE = [
    user("삼성전자 주가 알려줘"),
    *called("get_stock_price", {"price": 71500, "currency": "KRW"}, stock_name="삼성전자"),
]
UNSENT = [user("민수에게 '늦어요'라고 보내줘"), *called("send_message", {"status": "fail", "reason": "수신자 없음"})]
COLD = [user("대관령 날씨?"), *called("get_weather", {"high": -4})]
EVENTS = [
    user("What is on today?"),
    *called("events", [{"name": "Yoga", "at": "10:00"}, {"name": "Weekly meeting", "at": "19:00"}]),
]
CLOUDY = [user("北京明天天气怎么样\uff1f"), *called("get_weather", {"天气": "多云", "气温": "18度"}, city="北京")]


@pytest.mark.parametrize(
    ("context", "reply", "right"),
    [
        (SUNNY, "It will be sunny, 21°C. Anything else?", True),
        (SUNNY, "Expect about 21 degrees.", True),
        (SUNNY, "It will be 25°C and sunny.", False),
        (SUNNY, "It will be rainy.", False),
        (SUNNY, "I have checked the weather for you.", False),
        (SUNNY, "It will be sunny, says Meteo France.", False),
        (FULL, "Sorry, there are no tables available at Luigi's at 7pm.", True),
        (FULL, "I couldn't book it because no tables are available.", True),
        (FULL, "Your table at Luigi's is booked for 7pm.", False),
        (BOOKED, "All set! Your table is reserved.", True),
        (BOOKED, "Your table at Luigi's at 7pm is booked, the ID is B-552.", True),
        (BOOKED, "Your booking number is B-553.", False),
        (BOOKED, "Your table is booked for 8pm.", False),
        (BOOKED, "Sorry, the booking failed.", False),
        (CLOCK, "현재 시각은 오후 7시 5분입니다.", True),
        (CLOCK, "현재 시각은 오후 8시 30분입니다.", False),
        (CLOCK, "시간을 확인했습니다.", False),
        (PRICE, "7만 1500원입니다.", True),
        (PRICE, "현재 주가는 72,000원입니다.", False),
        (UNSENT, "메시지를 보내지 못했습니다.", True),
        (UNSENT, "민수님께 메시지를 보냈습니다.", False),
        (CLOUDY, "明天多云。", True),
        (CLOUDY, "北京明天晴\uff0c气温25度。", False),
        (CLOUDY, "我已经查询好了。", False),
        (CLOUDY, "很遗憾,明天多云。还有什么可以帮您的吗\uff1f", True),
        (COLD, "영하 4도입니다. 더 궁금한 점이 있으신가요?", True),
        (EVENTS, "You have yoga at 10:00 and the meeting at 19:00.", True),
        (EVENTS, "You have yoga at 19:00 and the meeting at 10:00.", False),
    ],
)
def test_an_answer_stands_on_the_result(context: list[Message], reply: str, right: bool) -> None:
    passed, reason = is_right(COMPLETION, [FORECAST], context, reply)
    assert passed is right, reason


def test_an_answer_in_another_script_is_passed_and_left_to_a_judge() -> None:
    context = (user("파리 날씨?"), *called("get_weather", "sunny", city="Paris"))
    verdict = grade(DecisionItem(context, (FORECAST,), COMPLETION, (), "hand"), Reply("맑습니다.", cut=False))
    assert (verdict.passed, verdict.content, verdict.sure) == (True, True, False)
