"""The OpenAI-compatible server in this process: what it answers, what it refuses, and that replies wait their turn."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import httpx
import pytest
from starlette.applications import Starlette
from tests.cli.tiny import tokenizer as make_tokenizer
from tests.sampling.handmade_models import chain_model, scripted, unigram_model
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.sampling import Said, Sampling, serve
from turnpoint.sampling.serve import chat_app
from turnpoint.template import ensure_tool_template

GREEDY = Sampling(max_new_tokens=64, temperature=0.0)
HI = [{"role": "user", "content": "Hi"}]
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'
Answer = TypeVar("Answer")


def app_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, **settings: Any) -> Starlette:
    return chat_app(model, tokenizer, "tiny", **{"sampling": GREEDY} | settings)


def saying(*pieces: str) -> Starlette:
    """Serves a model that writes these texts, each as one token."""
    tokenizer = make_tokenizer()
    model = scripted(tokenizer, *pieces)
    ensure_tool_template(tokenizer)
    return app_of(model, tokenizer)


def drawing(**settings: Any) -> Starlette:
    """Serves a model that writes letters, each as likely as the other, and never ends."""
    tokenizer = make_tokenizer()
    ids = tokenizer.convert_tokens_to_ids(list("abcdefgh"))
    return app_of(unigram_model(tokenizer, dict.fromkeys(ids, 50.0)), tokenizer, **settings)


def with_client(app: Starlette, use: Callable[[httpx.AsyncClient], Coroutine[Any, Any, Answer]]) -> Answer:
    async def run() -> Answer:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", timeout=60) as client:
            return await use(client)

    return asyncio.run(run())


def post(app: Starlette, **request: Any) -> httpx.Response:
    """The answer to a body given as JSON or as it is, or to other arguments of the client."""
    sent = request if request.keys() & {"content", "headers"} else {"json": request}
    return with_client(app, lambda client: client.post("/v1/chat/completions", **sent))


def complete(app: Starlette, **request: Any) -> dict[str, Any]:
    answer = post(app, **{"messages": HI} | request)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def contents(app: Starlette, **request: Any) -> list[str]:
    return [choice["message"]["content"] for choice in complete(app, **request)["choices"]]


def chunks(app: Starlette, **request: Any) -> list[dict[str, Any]]:
    answer = post(app, **{"messages": HI, "stream": True} | request)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, done, end = answer.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_a_reply() -> None:
    tokenizer = make_tokenizer()
    words = tokenizer("It is sunny.")["input_ids"]
    body = complete(app_of(chain_model(tokenizer, words), tokenizer), model="tiny", user="me", temperature=0)
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", body.pop("id"))
    assert body.pop("created") > 1.7e9
    prompt = len(tokenizer("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")["input_ids"])
    assert body == {
        "object": "chat.completion",
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "It is sunny."},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": len(words) + 1,
            "total_tokens": prompt + len(words) + 1,
        },
    }


def test_calls_are_in_openai_form() -> None:
    [choice] = complete(saying("I will look.\n", CALL), tools=[TOOL])["choices"]
    assert choice["finish_reason"] == "tool_calls"
    [call] = choice["message"]["tool_calls"]
    assert re.fullmatch(r"call_[0-9a-f]{24}", call.pop("id"))
    assert call == {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
    assert choice["message"]["content"] == "I will look."
    [choice] = complete(saying(CALL), tools=[TOOL])["choices"]
    assert choice["message"]["content"] is None


def test_what_a_client_sends_back_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole round: the answer's message as it came, with what clients add to it, and the result of its call."""
    heard: list[str] = []
    tokenizer = make_tokenizer()
    model = scripted(tokenizer, CALL)
    ensure_tool_template(tokenizer)

    def listen(model: Any, tokenizer: PreTrainedTokenizerFast, prompt: list[int], *_: Any, **__: Any) -> Said:
        heard.append(tokenizer.decode(prompt))
        return Said("Sunny.", (), False, 1)

    app = app_of(model, tokenizer)
    message = complete(app, tools=[TOOL])["choices"][0]["message"] | {"refusal": None, "function_call": None}
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny"}
    asked = {"role": "user", "content": [{"type": "text", "text": "Weather?"}]}
    monkeypatch.setattr(serve, "stream_reply", listen)
    complete(app, messages=[{"role": "developer", "content": "Be brief."}, asked, message, result], tools=[TOOL])
    complete(app, messages=[*HI, message, result], tools=[TOOL], tool_choice="none")
    assert "<|im_start|>system\nBe brief." in heard[0]
    assert '"name": "weather"' in heard[0]
    assert f"<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n{CALL}<|im_end|>" in heard[0]
    assert "sunny" in heard[0]
    assert "<tools>" in heard[0]
    assert "<tools>" not in heard[1]


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_reply_that_reaches_its_limit(limit: str) -> None:
    body = complete(drawing(), **{limit: 5})
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 5


def test_a_reply_without_a_limit_of_its_own_ends_with_the_context() -> None:
    tokenizer = make_tokenizer()
    model = unigram_model(tokenizer, {tokenizer.convert_tokens_to_ids("a"): 50.0})
    model.config.max_position_embeddings = 40
    assert complete(app_of(model, tokenizer))["usage"]["total_tokens"] == 40


@pytest.mark.parametrize("stop", ["sun", ["rain", "sun"]])
def test_a_stop_text(stop: Any) -> None:
    tokenizer = make_tokenizer()
    app = app_of(chain_model(tokenizer, tokenizer("It is sunny.")["input_ids"]), tokenizer)
    [choice] = complete(app, stop=stop)["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("It is", "stop")


def test_draws_and_their_seeds() -> None:
    app = drawing()
    drawn = {"temperature": 1.0, "max_tokens": 16}
    assert contents(app, seed=1, **drawn) == contents(app, seed=1, **drawn) != contents(app, seed=2, **drawn)
    assert contents(app, **drawn) != contents(app, **drawn)  # no seed: a new one each time
    with_seed = drawing(seed=1)
    assert contents(with_seed, **drawn) == contents(app, seed=1, **drawn)
    assert contents(app, seed=1, n=3, **drawn) == [
        *contents(app, seed=1, **drawn),
        *contents(app, seed=2, n=2, **drawn),
    ]
    assert len(set(contents(app, top_p=0.01, n=2, **drawn)[0])) == 1
    assert contents(drawing(sampling=Sampling(max_new_tokens=16)), seed=1) == contents(app, seed=1, **drawn)


def test_how_tokens_are_drawn_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Sampling, tuple[str, ...], int]] = []

    def listen(_model: Any, _tokenizer: Any, _prompt: Any, sampling: Sampling, **settings: Any) -> Said:
        asked.append((sampling, settings["stop"], settings["seed"]))
        return Said("a", (), False, 1)

    monkeypatch.setattr(serve, "stream_reply", listen)
    complete(drawing(), temperature=0.5, top_p=0.9, top_k=3, max_tokens=5, stop=["x", "y"], seed=7)
    complete(drawing(seed=1))
    assert asked == [(Sampling(5, 0.5, top_k=3, top_p=0.9), ("x", "y"), 7), (GREEDY, (), 1)]


def test_a_stream_of_content() -> None:
    tokenizer = make_tokenizer()
    words = tokenizer("It is sunny.")["input_ids"]
    app = app_of(chain_model(tokenizer, words), tokenizer)
    found = chunks(app, stream_options={"include_usage": True})
    *parts, usage = found
    assert len({chunk["id"] for chunk in found}) == 1
    assert {chunk["object"] for chunk in found} == {"chat.completion.chunk"}
    deltas = [chunk["choices"][0]["delta"] for chunk in parts]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == "It is sunny."
    assert len(deltas) > 4
    assert [chunk["choices"][0]["finish_reason"] for chunk in parts] == [None] * (len(parts) - 1) + ["stop"]
    assert usage["choices"] == []
    assert usage["usage"] == complete(app)["usage"]
    assert all("usage" not in chunk for chunk in chunks(app))


def test_a_stream_of_calls() -> None:
    found = chunks(saying("I will look.\n", CALL, CALL.replace("Köln", "Rom")), tools=[TOOL])
    deltas = [chunk["choices"][0]["delta"] for chunk in found]
    assert [delta["content"] for delta in deltas if delta.get("content")] == ["I will look."]
    [calls] = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert [(call["index"], call["function"]["arguments"]) for call in calls] == [
        (0, '{"city": "Köln"}'),
        (1, '{"city": "Rom"}'),
    ]
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_stream_of_several_replies() -> None:
    app, drawn = drawing(), {"temperature": 1.0, "max_tokens": 6, "n": 2, "seed": 3}
    texts = ["", ""]
    for chunk in chunks(app, **drawn):
        [choice] = chunk["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == contents(app, **drawn)


def test_the_list_of_models_and_health() -> None:
    async def both(client: httpx.AsyncClient) -> tuple[Any, Any]:
        return (await client.get("/v1/models")).json(), (await client.get("/health")).json()

    models, health = with_client(drawing(), both)
    assert [model["id"] for model in models["data"]] == ["tiny"]
    assert health == {"status": "ok"}


def test_replies_are_written_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    busy: list[int] = []

    def write(*_: Any, show: Callable[[str], None], **__: Any) -> Said:
        busy.append(1)
        assert len(busy) == 1
        show("a")
        busy.pop()
        return Said("a", (), False, 1)

    async def ask(client: httpx.AsyncClient) -> list[int]:
        answers = await asyncio.gather(*(client.post("/v1/chat/completions", json={"messages": HI}) for _ in range(8)))
        return [answer.status_code for answer in answers]

    monkeypatch.setattr(serve, "stream_reply", write)
    assert with_client(drawing(), ask) == [200] * 8


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        ({}, "messages: field required"),
        ({"messages": []}, "messages: list should have at least 1 item after validation, not 0 (got [])"),
        ({"messages": "Hi"}, "messages: input should be a valid list (got 'Hi')"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "request: messages[0].role: unknown role; use system,"),
        ({"messages": [{"role": "user"}]}, "request: messages[0]: a user message needs content, a string"),
        ({"messages": HI, "tools": [{"name": "x", "parameters": 3}]}, "request: tools[0]: parameters: "),
        ({"messages": HI, "temperature": -1}, "temperature: input should be greater than or equal to 0 (got -1)"),
        ({"messages": HI, "top_p": 0}, "top_p: input should be greater than 0 (got 0)"),
        ({"messages": HI, "max_tokens": 0}, "max_tokens: input should be greater than or equal to 1 (got 0)"),
        ({"messages": HI, "n": 2}, "n: replies at temperature 0 are all the same (got 2); set temperature,"),
        ({"messages": HI, "stop": ["a", ""]}, "stop: an empty text would end every reply at once; leave it out"),
        ({"messages": HI, "zork": 1}, "zork: unknown here; leave it out"),
        ({"messages": HI, "logprobs": True}, "logprobs: cannot be honoured here (got True); leave it out"),
        ({"messages": HI, "tool_choice": "required"}, "tool_choice: cannot be honoured here (got 'required'); leave"),
        ({"messages": HI, "response_format": {"type": "json_object"}}, "response_format: cannot be honoured here (got"),
        ({"messages": HI, "max_tokens": 4096}, "messages: 12 tokens and 4096 tokens of reply do not fit the model's"),
        (
            {"messages": [{"role": "user", "content": "a " * 5000}]},
            "messages: 5011 tokens do not fit the model's 4096;",
        ),
        ({"messages": HI, "tools": [TOOL]}, "request: tools: the chat template of "),
        ({"content": b"{"}, "the body is no JSON (Expecting property name"),
        ({"content": b"\xff"}, "the body is no JSON ('utf-8' codec can't decode"),
        ({"content": b"[" * 10**5}, "the body is no JSON ("),
        ({"content": b"[1]"}, "the body must be a JSON object with messages (got [1])"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_requests_that_are_refused(request_of: dict[str, Any], message: str, stream: bool) -> None:
    answer = post(drawing(), **request_of | ({"stream": True} if stream and "content" not in request_of else {}))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"].startswith(message), error["message"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, None)


def test_settings_that_ask_for_nothing_are_taken() -> None:
    neutral = {"frequency_penalty": 0.0, "logit_bias": {}, "logprobs": False, "tool_choice": "auto", "seed": None}
    assert contents(drawing(), **neutral, response_format={"type": "text"}, metadata={"a": 1}, store=True, max_tokens=2)


def test_other_models_and_addresses_are_not_there() -> None:
    answer = post(drawing(), model="gpt-4", messages=HI)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        404,
        "model: 'gpt-4' is not served here; it is 'tiny'",
    )

    async def get(client: httpx.AsyncClient) -> list[int]:
        return [(await client.get(path)).status_code for path in ("/v1/zork", "/v1/chat/completions")]

    assert with_client(drawing(), get) == [404, 405]


def test_a_body_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_LARGEST_BODY", 100)
    answer = post(drawing(), messages=[{"role": "user", "content": "a" * 100}])
    assert answer.status_code == 413
    assert answer.json()["error"]["message"] == "the body must be at most 100 bytes; send fewer messages"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8000"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_pages_of_other_sites_are_refused(headers: dict[str, str], status: int) -> None:
    answer = post(drawing(), headers=headers, json={"messages": HI, "max_tokens": 1})
    assert answer.status_code == status
    if status == 403:
        [name] = headers
        assert answer.json()["error"]["message"] == (
            f"{name}: must be 127.0.0.1 or localhost; this server is for this machine"
        )


def breaking(*_: Any, **__: Any) -> Said:
    raise RuntimeError("out of memory")


def test_a_fault_of_ours_is_a_500(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "stream_reply", breaking)
    answer = post(drawing(), messages=HI)
    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "message": "the reply could not be written: out of memory",
        "type": "server_error",
        "param": None,
        "code": None,
    }


def test_a_fault_in_a_stream_ends_it_with_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serve, "stream_reply", breaking)
    *_, last, end = post(drawing(), messages=HI, stream=True).text.split("\n\n")
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == (
        "the reply could not be written: out of memory"
    )
    assert end == ""
    assert "RuntimeError: out of memory" in caplog.text
