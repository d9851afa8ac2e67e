"""Images in messages: each is the bytes of its file, and a character in the content says where it stands."""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

IMAGE_MARK = "\ufffc"
"""Stands in a content for an image: Unicode's own placeholder for an object in a text."""

_SHOWN = 60  # characters of a value, in errors
_MODES_OF_PNG = ("1", "L", "LA", "I", "P", "RGB", "RGBA")

IMAGE_PARTS = ("image", "image_url")
"""Types of content parts that are images; their payload, if they have one, is the value of the key of that name."""


@dataclass(frozen=True)
class Image:
    """An encoded image: PNG, JPEG, whatever Pillow opens.

    Args:
        data: bytes of its file.
        file: where they were read; None where they came with the data.
    """

    data: bytes = field(repr=False)
    file: str | None = field(default=None, compare=False)

    @cached_property
    def digest(self) -> bytes:
        """Hash of the bytes; images are the same where it is."""
        return hashlib.blake2b(self.data, digest_size=16).digest()

    def url(self) -> str:
        """The image as a data URL, the form in which OpenAI's messages carry it."""
        return "data:image;base64," + base64.b64encode(self.data).decode()


def as_image(raw: Any) -> Image:
    """An image from any of the forms in which data carries it.

    Args:
        raw: an image of Pillow, which is kept as PNG, without loss; bytes; a path; a data URL; a mapping with `bytes`,
            `path` or `url`, such as the rows of `datasets` and the parts of OpenAI's messages hold.

    Raises:
        ValueError: it is none of these, or the file cannot be read.
    """
    if isinstance(raw, Image):
        return raw
    if isinstance(raw, bytes):
        return Image(raw)
    if isinstance(raw, Mapping):
        given = next((raw[key] for key in ("bytes", "path", "url") if raw.get(key)), None)
        if given is None:
            raise ValueError(f"an image needs bytes, path or url; found keys: {', '.join(map(str, raw)) or 'none'}")
        return as_image(given)
    if isinstance(raw, str | Path):
        return _of_name(str(raw))
    if callable(getattr(raw, "save", None)):
        return _of_pillow(raw)
    given = "no image; the row gives none for it in `images`" if raw is None else type(raw).__name__
    raise ValueError(f"an image must be an image of Pillow, bytes, a path or a data URL (got {given})")


def _of_pillow(raw: Any) -> Image:
    """Its pixels as PNG, and the file it was opened from, if it was."""
    buffer = BytesIO()
    try:
        (raw if raw.mode in _MODES_OF_PNG else raw.convert("RGB")).save(buffer, format="PNG")
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"an image cannot be read: {' '.join(str(error).split())}") from None
    return Image(buffer.getvalue(), str(getattr(raw, "filename", "")) or None)


def _of_name(name: str) -> Image:
    if name.startswith("data:"):
        try:
            return Image(base64.b64decode(name.partition("base64,")[2], validate=True))
        except binascii.Error as error:
            raise ValueError(f"the data URL of an image must hold base64: {error} (got {name:.60}…)") from None
    name = name.removeprefix("file://")
    shown = repr(name) if len(name) <= _SHOWN else repr(name[:_SHOWN] + "…")
    if "://" in name:
        raise ValueError(f"images are not fetched (got {shown}); download it and give its path")
    try:
        return Image(Path(name).expanduser().read_bytes(), name)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"the image cannot be read: {reason} (got {shown}); give a path that is seen from the current folder, or"
            " data:image/png;base64,…"
        ) from None


def holds_images(content: Any) -> bool:
    """Whether a content is a list of parts of text and images."""
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        return False
    kinds = [part.get("type") for part in content]
    return all(kind in ("text", *IMAGE_PARTS) for kind in kinds) and any(kind in IMAGE_PARTS for kind in kinds)


def content_and_images(parts: list[Mapping[str, Any]]) -> tuple[str, list[Image]]:
    """Parts of text and images as text with marks, and the images that these stand for.

    Raises:
        ValueError: an image part has no image, or the text holds a mark.
    """
    texts: list[str] = []
    images: list[Image] = []
    for part in parts:
        if part["type"] in IMAGE_PARTS:
            images.append(as_image(payload(part)))
            texts.append(IMAGE_MARK)
            continue
        text = text_of(part)
        if IMAGE_MARK in text:
            raise ValueError("the text beside an image holds U+FFFC, which stands for an image here; take it out")
        texts.append(text)
    return "".join(texts), images


def text_of(part: Mapping[str, Any]) -> str:
    """What a text part says."""
    return str(next((part[key] for key in ("text", "value") if part.get(key) is not None), ""))


def payload(part: Mapping[str, Any]) -> Any:
    """What an image part holds; None where it only says that an image stands there."""
    return next((part[key] for key in (*IMAGE_PARTS, "url", "path") if part.get(key)), None)


def in_parts(texts: Sequence[str], images: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Texts with an image between each two, as parts.

    Args:
        texts: one more than images.
        images: what the part of each holds, under the name of its type.
    """
    parts: list[dict[str, Any]] = [{"type": "text", "text": texts[0]}]
    for image, text in zip(images, texts[1:], strict=True):
        parts += [{"type": next(iter(image)), **image}, {"type": "text", "text": text}]
    return [part for part in parts if part["type"] != "text" or part["text"]]
