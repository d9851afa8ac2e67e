"""Pages of HTML that need nothing beside themselves and let nothing run but their own script."""

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import Any

# `<` could end the script element that holds the data; the others are not allowed in a script, or in UTF-8.
_UNSAFE = re.compile("[<\u2028\u2029\ud800-\udfff]")


def page(name: str, data: Any = None, *, fetches: bool = False) -> str:
    """The page that `NAME.html`, `NAME.css` and `NAME.js` make, on top of what pages share to show messages.

    Args:
        name: of the files.
        data: what stands in the page as JSON.
        fetches: whether its script may ask the server that it comes from.
    """
    style, script = ("".join(map(_asset, (f"messages.{kind}", f"{name}.{kind}"))) for kind in ("css", "js"))
    policy = f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'"
    policy += "; base-uri 'none'; form-action 'none'" + ("; connect-src 'self'" if fetches else "")
    parts = {"policy": policy, "style": style, "data": _safe_json(data), "script": script}
    # One pass, so that what the data say is never taken for a placeholder.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _asset(f"{name}.html"))


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _safe_json(value: Any) -> str:
    """JSON that may stand in a script element and be written as UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _asset(name: str) -> str:
    return (files("turnpoint.report") / name).read_text(encoding="utf-8")
