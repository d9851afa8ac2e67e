"""A headless Chromium that is driven as a person would: by keys and the mouse, over its own debugging pipe."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT = 120  # seconds for anything at all, on a busy machine


class Page:
    """A page that is open.

    Args:
        ask: sends a command of the DevTools protocol, with its parameters, and gives what it returns.
    """

    def __init__(self, ask: Callable[..., dict[str, Any]]) -> None:
        self._ask = ask

    def open(self, address: str) -> None:
        self._ask("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript comes to."""
        told = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression comes true; on a page that is still being loaded it may name what is not there."""
        end = time.monotonic() + WAIT
        while not self.value(f"(() => {{ try {{ return Boolean({expression}); }} catch {{ return false; }} }})()"):
            assert time.monotonic() < end, f"never true: {expression}; on view: {self.value('document.body.innerText')}"
            time.sleep(0.02)

    def press(self, key: str, code: str = "") -> None:
        """Press a key and let it go."""
        text = {"text": key} if len(key) == 1 else {}
        self._ask("Input.dispatchKeyEvent", type="keyDown", key=key, code=code, **text)
        self._ask("Input.dispatchKeyEvent", type="keyUp", key=key, code=code)

    def click(self, selector: str) -> None:
        """Click in the middle of what a selector finds first."""
        find = f"(() => {{ const r = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
        x, y = self.value(f"{find} return [r.x + r.width / 2, r.y + r.height / 2]; }})()")
        for type in ("mousePressed", "mouseReleased"):
            self._ask("Input.dispatchMouseEvent", type=type, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot")["data"]))


@contextmanager
def browser(folder: Path, *, size: tuple[int, int] = (1400, 900)) -> Iterator[Page]:
    """A page of a browser of its own.

    Args:
        folder: where the browser may write.
        size: width and height of the window, pixels.
    """
    (commands, to_browser), (from_browser, answers) = os.pipe(), os.pipe()

    def wire() -> None:
        """Chromium reads commands from file 3 and answers on file 4."""
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (commands, answers)]
        for number, end in enumerate(ends, start=3):
            os.dup2(end, number)

    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars"]
    place = [f"--user-data-dir={folder}", "--window-size={},{}".format(*size)]
    process = subprocess.Popen(
        [str(CHROMIUM), *words, *place, "about:blank"], close_fds=False, preexec_fn=wire, stdout=-3, stderr=-3
    )
    for end in (commands, answers):
        os.close(end)
    try:
        with os.fdopen(to_browser, "wb", buffering=0) as sends, os.fdopen(from_browser, "rb") as receives:
            yield Page(_attached(sends, receives))
    finally:
        process.kill()
        process.wait()


def _attached(sends: BinaryIO, receives: BinaryIO) -> Callable[..., dict[str, Any]]:
    number = 0

    def ask(method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        nonlocal number
        number += 1
        of = {"sessionId": session} if session else {}
        sends.write(json.dumps({"id": number, "method": method, "params": parameters, **of}).encode() + b"\0")
        while (answer := _read(receives)).get("id") != number:
            pass
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    target = ask("Target.createTarget", url="about:blank")["targetId"]
    session = ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    return lambda method, **parameters: ask(method, session, **parameters)


def _read(receives: BinaryIO) -> dict[str, Any]:
    """A message, which ends with a null byte."""
    read = bytearray()
    while (byte := receives.read(1)) != b"\0":
        assert byte, "the browser has ended"
        read += byte
    message: dict[str, Any] = json.loads(read)
    return message
