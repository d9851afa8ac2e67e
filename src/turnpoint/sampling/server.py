"""Replies from a server that speaks OpenAI's chat API: vLLM, llama.cpp, Ollama, a hosted model."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from turnpoint.errors import ConfigError

_ATTEMPTS = 4
_BUSY = (429, 500, 502, 503, 504)  # answers of a server that may have time later
_PATIENCE = 120.0  # seconds for one reply


class ChatServer:
    """A model behind `POST {url}/chat/completions`.

    Args:
        url: base address, such as `http://localhost:8000/v1`.
        model: name of the model there.
        api_key: sent as bearer token, where the server wants one.
        settings: further fields of each request, such as temperature, seed and max_tokens.
    """

    def __init__(
        self, url: str, model: str, *, api_key: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        self._model, self._settings = model, dict(settings or {})
        if api_key is not None and not api_key.isascii():
            raise ConfigError("api_key: holds a character that is not ASCII, so no server can have given it; check it")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        try:
            self._client = httpx.Client(base_url=url.rstrip("/") + "/", headers=headers, timeout=_PATIENCE)
        except httpx.InvalidURL as error:
            raise ConfigError(f"server: must be an address such as http://localhost:8000/v1 (got {url!r})") from error

    def reply(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The text that the model writes after `messages`, in OpenAI's form. Errors of `choice`."""
        return self.choice(messages)["message"].get("content") or ""

    def choice(self, messages: Sequence[Mapping[str, Any]], **settings: Any) -> dict[str, Any]:
        """What the model does after `messages`: `message` and `finish_reason` in OpenAI's form.

        Args:
            messages: in OpenAI's form.
            settings: further fields of this request, such as tools and seed.

        Raises:
            ConfigError: the server cannot be reached, refuses the request, or answers in another form.
        """
        answer = self._posted({"model": self._model, "messages": list(messages), **self._settings, **settings})
        try:
            choice = answer.json()["choices"][0]
            if not isinstance(choice["message"].get("content"), str | None):
                raise TypeError
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(f"server {answer.url}: answers in no form of OpenAI's ({answer.text:.200})") from error
        return dict(choice)

    def _posted(self, body: Mapping[str, Any]) -> httpx.Response:
        url = self._client.base_url
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            try:
                answer = self._client.post("chat/completions", json=body)
                if answer.status_code not in _BUSY or last:
                    break
            except httpx.ConnectError as error:
                raise ConfigError(f"server {url}: cannot be reached ({error}); check the address") from error
            except httpx.HTTPError as error:  # a connection that broke off or took too long, among thousands
                if last:
                    raise ConfigError(f"server {url}: does not answer ({error or type(error).__name__})") from error
            time.sleep(2**attempt)
        if answer.is_error:
            raise ConfigError(f"server {url}: answers {answer.status_code} ({' '.join(answer.text.split()):.200})")
        return answer
