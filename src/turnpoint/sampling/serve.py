"""An OpenAI-compatible server for programs on this machine; it needs the extra `serve`: starlette and uvicorn."""

import asyncio
import contextlib
import json
import logging
import secrets
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnpoint.errors import ConfigError, TurnpointError
from turnpoint.sampling.generate import Sampling
from turnpoint.sampling.openai_form import Answers, Asked, Usage, error, finish_reason, read_request, tool_calls
from turnpoint.sampling.stream import Said, stream_reply
from turnpoint.template import Renderer

logger = logging.getLogger(__name__)

_ADDRESS = "127.0.0.1"
_HERE = (_ADDRESS, "localhost", "::1")
_LARGEST_BODY = 8 * 2**20  # bytes
_SECONDS_TO_FINISH = 2  # for requests under way when the server is stopped


@contextlib.contextmanager
def bound(port: int) -> Iterator[socket.socket]:
    """A socket of this machine alone, closed afterwards.

    Args:
        port: 0 takes a free one.

    Raises:
        ConfigError: the port is taken, or no port.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((_ADDRESS, port))
        except (OSError, OverflowError) as fault:
            reason = getattr(fault, "strerror", None) or fault
            raise ConfigError(
                f"port: {port} cannot be listened on ({reason}); name another, 0 takes a free one"
            ) from None
        yield opened


def serve(app: ASGIApp, listening: socket.socket, announce: Callable[[str], None]) -> None:
    """Serve until the process is told to stop.

    Args:
        app: what is served.
        listening: a bound socket.
        announce: told the address when requests are answered.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    host, port = listening.getsockname()
    server = _Announcing(config, partial(announce, f"http://{host}:{port}/v1"))
    with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again once all is closed
        server.run(sockets=[listening])


class _Announcing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


def chat_app(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, name: str, sampling: Sampling, seed: int | None = None
) -> Starlette:
    """The server's application: chat completions, the list of models, health.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, with a chat template.
        name: by which requests name the model, if they do.
        sampling: how tokens are drawn where a request does not say.
        seed: of requests without one; None draws one for each.
    """
    endpoints = _Endpoints(_Writer(model, tokenizer), name, sampling, seed)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", endpoints.complete, methods=["POST"]),
            Route("/v1/models", endpoints.models),
            Route("/health", endpoints.health),
        ],
        middleware=[Middleware(_OnlyFromHere)],
        exception_handlers={
            TurnpointError: _refused,
            HTTPException: _failed,
            ClientDisconnect: _unheard,
            Exception: _broken,
        },
    )


class _Writer:
    """The model, which writes one reply at a time; whoever comes later waits."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._renderer = Renderer(tokenizer)
        self._lock = asyncio.Lock()
        self._context = getattr(model.config.get_text_config(), "max_position_embeddings", None)

    def prompt(self, asked: Asked) -> tuple[list[int], Sampling]:
        """The prompt of a request, and its sampling, which fits the model's context.

        Raises:
            ConfigError: prompt and reply are longer than the context.
            TemplateError: the chat template refuses the messages or the tools.
        """
        prompt = self._renderer.prompt_ids(asked.messages, asked.tools, "request")
        if self._context is None:
            return prompt, asked.sampling
        left, most = self._context - len(prompt), asked.sampling.max_new_tokens
        if left < 1 or (asked.limited and most > left):
            wanted = f" and {most} tokens of reply" if asked.limited else ""
            raise ConfigError(
                f"messages: {len(prompt)} tokens{wanted} do not fit the model's {self._context}; send fewer"
            )
        return prompt, asked.sampling._replace(max_new_tokens=min(most, left))

    async def write(
        self, prompt: list[int], sampling: Sampling, stop: tuple[str, ...], seed: int
    ) -> AsyncGenerator[str | Said]:
        """Pieces of the reply's content as tokens come, "" for a token that shows nothing; at last the reply.

        Whoever stops reading stops the writing.
        """
        await self._lock.acquire()
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        left = threading.Event()

        def show(piece: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        work = partial(
            stream_reply,
            self._model,
            self._tokenizer,
            prompt,
            sampling,
            seed=seed,
            stop=stop,
            show=show,
            stopped=left.is_set,
        )
        writing = loop.run_in_executor(None, work)
        # The model is free when its thread is done, not when the reader has left.
        writing.add_done_callback(lambda _: self._lock.release())
        writing.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            yield writing.result()
        finally:
            left.set()


class _Endpoints:
    """What is answered at each address."""

    def __init__(self, writer: _Writer, name: str, sampling: Sampling, seed: int | None) -> None:
        self._writer, self._name, self._sampling, self._seed = writer, name, sampling, seed

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def models(self, request: Request) -> Response:
        model = {"id": self._name, "object": "model", "created": 0, "owned_by": "turnpoint"}
        return JSONResponse({"object": "list", "data": [model]})

    async def complete(self, request: Request) -> Response:
        asked = read_request(await _json(request), self._sampling)
        if asked.model not in (None, self._name):
            raise HTTPException(404, f"model: {asked.model!r} is not served here; it is {self._name!r}")
        prompt, sampling = self._writer.prompt(asked)
        given = self._seed if asked.seed is None else asked.seed
        first = secrets.randbits(32) if given is None else given
        replies = [self._heard(request, prompt, sampling, asked.stop, first + i) for i in range(asked.n)]
        answers = Answers(self._name)
        if asked.stream:
            return StreamingResponse(
                _events(answers, replies, len(prompt), asked.with_usage), media_type="text/event-stream"
            )
        said = [piece for reply in replies async for piece in reply if isinstance(piece, Said)]
        return JSONResponse(answers.whole(said, len(prompt)))

    async def _heard(
        self, request: Request, prompt: list[int], sampling: Sampling, stop: tuple[str, ...], seed: int
    ) -> AsyncGenerator[str | Said]:
        """A reply, as long as somebody listens.

        Raises:
            ClientDisconnect: nobody does.
        """
        async with contextlib.aclosing(self._writer.write(prompt, sampling, stop, seed)) as pieces:
            async for piece in pieces:
                if await request.is_disconnected():
                    raise ClientDisconnect
                yield piece


async def _events(
    answers: Answers, replies: list[AsyncGenerator[str | Said]], prompt: int, with_usage: bool
) -> AsyncIterator[str]:
    """The replies as server-sent events: content as it is written, calls when they are complete."""
    written = 0
    try:
        for i, reply in enumerate(replies):
            yield _event(answers.chunk(i, {"role": "assistant", "content": ""}))
            async for piece in reply:
                if isinstance(piece, Said):
                    written += piece.tokens
                    if piece.calls:
                        yield _event(answers.chunk(i, {"tool_calls": tool_calls(piece.calls)}))
                    yield _event(answers.chunk(i, {}, finish_reason(piece)))
                elif piece:
                    yield _event(answers.chunk(i, {"content": piece}))
    except ClientDisconnect:
        return
    except Exception as fault:  # the answer has begun, so that no status can say it any more
        logger.exception("a reply could not be written")
        yield _event(error(f"the reply could not be written: {fault}", "server_error"))
        return
    if with_usage:
        yield _event(answers.usage_chunk(Usage(prompt, written)))
    yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


async def _json(request: Request) -> Any:
    """The body of a request.

    Raises:
        HTTPException: it is too large.
        ConfigError: it is no JSON.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_BODY:
            raise HTTPException(413, f"the body must be at most {_LARGEST_BODY} bytes; send fewer messages")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise ConfigError(f"the body is no JSON ({fault}); send an object with messages") from None


async def _refused(_: Request, fault: Exception) -> Response:
    return JSONResponse(error(str(fault)), 400)


async def _failed(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    return JSONResponse(error(fault.detail), fault.status_code, headers=fault.headers)


async def _unheard(_: Request, fault: Exception) -> Response:
    return Response(status_code=499)  # nobody is there to read it


async def _broken(_: Request, fault: Exception) -> Response:
    return JSONResponse(error(f"the reply could not be written: {fault}", "server_error"), 500)


class _OnlyFromHere:
    """Refuses requests that a page of another site has sent: by its origin, or by a name of its own for this machine.

    A name that is made to lead here (DNS rebinding) would let such a page read the answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        places = {"Host": f"//{headers.get('host', '')}", "Origin": headers.get("origin", f"//{_ADDRESS}")}
        foreign = next((name for name, place in places.items() if _host_of(place) not in _HERE), None)
        if foreign is None:
            await self._app(scope, receive, send)
            return
        answer = JSONResponse(
            error(f"{foreign}: must be {' or '.join(_HERE[:2])}; this server is for this machine"), 403
        )
        await answer(scope, receive, send)


def _host_of(place: str) -> str | None:
    try:
        return urlsplit(place).hostname
    except ValueError:
        return None
