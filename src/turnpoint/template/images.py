"""What a processor makes of images: the tokens that stand for one in a sequence.

A processor of transformers writes many tokens where a chat template writes one. Turns are found in what the template
writes, so the tokens are put in afterwards, and the result has to be what the processor gives for the whole.
"""

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

from turnpoint.dialogue import Image
from turnpoint.errors import DataError, TemplateError

_KEPT = 64  # images whose tokens are remembered; both sides of a pair ask for those of its prompt


class PlacedImage(NamedTuple):
    """An image in a sequence: the half-open range of tokens that stand for it."""

    start: int
    end: int
    image: Image


class Expanded(NamedTuple):
    """A sequence with the tokens of its images."""

    input_ids: list[int]
    images: tuple[PlacedImage, ...]
    moved: Sequence[int]  # of each token before, and of the end, where it is now


class ImageTokens:
    """The tokens of images, from a processor.

    Args:
        processor: of transformers, with a tokenizer and an image processor.
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._name = type(processor).__name__
        self._token: str | None = getattr(processor, "image_token", None)
        self._of_image = lru_cache(_KEPT)(self._alone)

    def expand(self, text: str, input_ids: Sequence[int], images: Sequence[Image], where: str) -> Expanded:
        """Put the tokens of images in the place of the one token that the template wrote for each.

        Args:
            text: as the chat template wrote it.
            input_ids: its tokens.
            images: in order.
            where: for errors.

        Raises:
            DataError: an image cannot be opened.
            TemplateError: the template does not write one token for each image, or the processor writes tokens that
                depend on more than the image.
        """
        if images and len(set(getattr(self._processor, "image_token_ids", None) or ())) > 1:
            raise TemplateError(f"{where}: {self._name} has several image tokens; such models are not trained here")
        token_id = self._processor.tokenizer.convert_tokens_to_ids(self._token) if self._token else None
        written = sum(token == token_id for token in input_ids)
        if written != len(images):
            raise TemplateError(
                f"{where}: the chat template writes {written} image tokens ({self._token!r}) for {len(images)} images;"
                " take such tokens out of the texts, or use another template"
            )
        opened = [open_image(image, where) for image in images]
        found: list[int] = []
        placed: list[PlacedImage] = []
        moved: list[int] = []
        following = iter(images)
        for token in input_ids:
            moved.append(len(found))
            if token != token_id:
                found.append(token)
                continue
            image = next(following)
            start = len(found)
            found += self._of_image(image)
            placed.append(PlacedImage(start, len(found), image))
        if images and found != self._tokens(text, opened):
            raise TemplateError(
                f"{where}: {self._name} writes other tokens for the images of a dialogue than for each alone, so their"
                " places cannot be told; such models are not trained here"
            )
        return Expanded(found, tuple(placed), [*moved, len(found)])

    def _alone(self, image: Image) -> list[int]:
        return self._tokens(str(self._token), [open_image(image, "an image")])

    def _tokens(self, text: str, images: Sequence[Any]) -> list[int]:
        # A list within a list, as processors call it for a chat template: some treat several images otherwise.
        return list(self._processor(text=[text], images=[images], add_special_tokens=False)["input_ids"][0])


def open_image(image: Image, where: str) -> Any:
    """The image as Pillow's, upright and in RGB, as transformers loads it.

    Raises:
        DataError: Pillow cannot open it.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(Pillow.open(BytesIO(image.data))).convert("RGB")
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise DataError(
            f"{where}: an image of {len(image.data)} bytes cannot be opened ({' '.join(str(error).split())}); give a"
            " PNG or JPEG"
        ) from None
