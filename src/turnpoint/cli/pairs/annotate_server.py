"""The server of the page to annotate on: for this machine alone, and for who knows the token in its address.

Other web sites may send requests to it, even under a name of their own that leads here (DNS rebinding). So the host has
to be a name of this machine, and what reads or writes data must bring the token, which no other site can know.
"""

import json
import re
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from turnpoint.cli.pairs.desk import Desk
from turnpoint.dialogue import parse
from turnpoint.errors import ConfigError, DataError
from turnpoint.pairs import Choice, Verdict
from turnpoint.report import annotator_page, shown_prompt, shown_state

Parsed = TypeVar("Parsed", bound=BaseModel)

_TOKEN = "X-Turnpoint-Token"

_ADDRESS = "127.0.0.1"
_HERE = (_ADDRESS, "localhost", "::1")
_LARGEST_BODY = 16 * 2**10  # bytes
_READ_AWAY = 2**20  # bytes of a larger one that are read, so that its sender comes to read the answer
_SECONDS = 30  # for which a client may be silent
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page holds the rest of it
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class AnnotateServer(ThreadingTCPServer):
    """Serves the page, bound to this machine.

    Args:
        port: 0 takes a free one.
        desk: where choices go.

    Raises:
        ConfigError: the port is taken, or no port.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, desk: Desk) -> None:
        self.desk, self.token = desk, secrets.token_urlsafe(24)
        self.page = annotator_page().encode()
        self.places = {each.drawn.id: place for place, each in enumerate(desk.annotation.asked)}
        try:
            super().__init__((_ADDRESS, port), _Handler)
        except (OSError, OverflowError) as fault:
            reason = getattr(fault, "strerror", None) or fault
            raise ConfigError(
                f"port: {port} cannot be listened on ({reason}); name another, 0 takes a free one"
            ) from None

    @property
    def address(self) -> str:
        """Of the page, with the token where browsers keep it to themselves."""
        return f"http://{_ADDRESS}:{self.server_address[1]}/#{self.token}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, but for clients that are gone."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Said(BaseModel):
    """What the page says of a prompt; replies by their places on it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: NonNegativeInt
    verdict: Literal["pair", "skip", "tie"]
    chosen: NonNegativeInt | None = None
    rejected: NonNegativeInt | None = None


class _Handler(BaseHTTPRequestHandler):
    server: AnnotateServer
    timeout = _SECONDS

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not worth a line."""

    def _answer(self, tell: Callable[[str, bytes], Any]) -> None:
        """Answer with what `tell` says of a path and a body: the page as it is, anything else as JSON."""
        try:
            body = self._body()
            self._check_host()
            path = self.path.partition("?")[0]
            if (self.command, path) == ("GET", "/"):
                self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
                return
            self._check_token()
            status, told = HTTPStatus.OK, tell(path, body)
        except _Refused as refused:
            status, told = refused.status, {"error": str(refused)}
        self._send(status, "application/json", json.dumps(told).encode())

    def _get(self, path: str, body: bytes) -> dict[str, Any]:
        desk = self.server.desk
        if path == "/state":
            return shown_state(desk.annotation) | {"output": desk.output.name}
        found = re.fullmatch(r"/prompts/([0-9]{1,9})", path)
        if found is None or int(found[1]) >= len(desk.annotation.asked):
            raise _Refused(HTTPStatus.NOT_FOUND, f"{path}: is not here")
        return shown_prompt(desk.annotation, int(found[1]))

    def _post(self, path: str, body: bytes) -> dict[str, Any]:
        desk = self.server.desk
        if path not in ("/choices", "/undo"):
            raise _Refused(HTTPStatus.NOT_FOUND, f"{path}: is not here")
        choice = self._choice(body) if path == "/choices" else self._undo()
        try:
            desk.take(choice)
        except DataError as error:
            raise _Refused(HTTPStatus.CONFLICT, str(error)) from None
        except OSError as error:
            reason = f"cannot write {desk.output.name}: {error.strerror}"
            raise _Refused(HTTPStatus.INSUFFICIENT_STORAGE, reason) from None
        return shown_state(desk.annotation) | {"prompt": self.server.places.get(choice.id)}

    def _choice(self, body: bytes) -> Choice:
        said = _said(body)
        try:
            drawn, ways = self.server.desk.annotation.asked[said.prompt]
            chosen, rejected = (None if side is None else ways[side].key for side in (said.chosen, said.rejected))
        except IndexError:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"prompt {said.prompt}, or a reply to it, is not there") from None
        raw = {"id": drawn.id, "verdict": said.verdict, "chosen": chosen, "rejected": rejected}
        return _parsed(Choice, raw)

    def _undo(self) -> Choice:
        last = self.server.desk.annotation.last
        if last is None:
            raise _Refused(HTTPStatus.CONFLICT, "nothing was chosen that could be taken back")
        return Choice(id=last.id, verdict=Verdict.UNDO)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if not re.fullmatch("[0-9]{1,18}", length):
            raise _Refused(HTTPStatus.BAD_REQUEST, f"Content-Length: is no number of bytes (got {length!r})")
        if int(length) > _LARGEST_BODY:
            self.rfile.read(min(int(length), _READ_AWAY))
            raise _Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has {_LARGEST_BODY} bytes at most (got {length})"
            )
        return self.rfile.read(int(length))

    def _check_host(self) -> None:
        host = self.headers.get("Host", "")
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            name = None
        if name not in _HERE:
            raise _Refused(
                HTTPStatus.FORBIDDEN, f"Host: is not this machine (got {host!r}); open the address as it was printed"
            )

    def _check_token(self) -> None:
        token = self.headers.get(_TOKEN, "")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise _Refused(
                HTTPStatus.FORBIDDEN,
                "the token is missing or not that of this server; open the address that it printed",
            )

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _said(body: bytes) -> _Said:
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _Refused(HTTPStatus.BAD_REQUEST, f"the body: not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise _Refused(HTTPStatus.BAD_REQUEST, f"the body: must be an object (got {raw!r})")
    return _parsed(_Said, raw)


def _parsed(kind: type[Parsed], raw: dict[str, Any]) -> Parsed:
    try:
        return parse(kind, raw, "the body")
    except DataError as error:
        raise _Refused(HTTPStatus.BAD_REQUEST, str(error)) from None
