"""Images in a token tree: sequences share their beginnings up to the first image that differs.

Tokens that stand for images are equal, whatever the images show. So where an image stands a sequence has, while trees
are built and rows are packed, a negative number of that image, its key, in the place of every token; once a tree is
built, the tokens come back, and the images in it are known, each once, in the order of its nodes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from torch import Tensor

from turnpoint.tree.build import Indexes, TokenIds, TokenTree

ImageInputs: TypeAlias = Callable[[], Mapping[str, Tensor]]
"""Makes what a model's forward takes of the images of a row, such as `pixel_values`."""


class SequenceImage(NamedTuple):
    """An image that stands in a sequence.

    Args:
        key: negative, another for every image.
        token_ids: of the tokens that stand for it, one after the other.
        content: the image, as `inputs` takes it; hashable.
        inputs: of the images of a row what a model's forward takes.
    """

    key: int
    token_ids: TokenIds
    content: Any
    inputs: Callable[[tuple[Any, ...]], Mapping[str, Tensor]]


def image_key(digest: bytes) -> int:
    """The key of an image with this hash: 63 bits of it, so that images of one row are told apart."""
    return -1 - (int.from_bytes(digest[:8]) >> 1)


def with_keys(input_ids: TokenIds, places: Sequence[tuple[int, int]], keys: Sequence[int]) -> Indexes:
    """Token ids with keys in the place of images.

    Args:
        input_ids: of a sequence.
        places: half-open range of each image.
        keys: of each image.
    """
    ids = np.array(input_ids, dtype=np.int64)
    for (start, end), key in zip(places, keys, strict=True):
        ids[start:end] = key
    return ids


def in_order_of_tree(tree: TokenTree, images: Mapping[int, SequenceImage]) -> tuple[TokenTree, ImageInputs]:
    """The tree with its tokens, and what makes the inputs of its images.

    No fork lies within an image, so the nodes of each follow each other.

    Args:
        tree: of sequences with keys.
        images: by key, at least one.
    """
    ids = tree.input_ids.copy()
    found: list[SequenceImage] = []
    rest = np.flatnonzero(ids < 0)
    while len(rest):
        image = images[int(tree.input_ids[rest[0]])]
        ids[rest[: len(image.token_ids)]] = image.token_ids
        rest = rest[len(image.token_ids) :]
        found.append(image)
    return tree._replace(input_ids=ids), lambda: found[0].inputs(tuple(image.content for image in found))
