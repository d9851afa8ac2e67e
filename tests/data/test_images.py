"""Images of a row go to the messages that show them, and come out of a file as they went in."""

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from turnpoint.data import load_dialogues, load_pairs
from turnpoint.data.write import write_pairs
from turnpoint.dialogue import IMAGE_MARK, Image, Message, parse
from turnpoint.errors import DataError


def png(shade: int) -> bytes:
    buffer = BytesIO()
    Pillow.new("RGB", (2, 2), (shade, 0, 0)).save(buffer, format="PNG")
    return buffer.getvalue()


ONE, TWO = png(1), png(2)
ANSWERS: dict[str, Any] = {
    "chosen": [{"role": "assistant", "content": "red"}],
    "rejected": [{"role": "assistant", "content": "blue"}],
}


def contents(row: dict[str, Any]) -> list[tuple[str, list[bytes]]]:
    """What the messages of the prompt say and show, a mark for each image."""
    [pair], _ = load_pairs([row])
    return [((m.content or "").replace(IMAGE_MARK, "#"), [image.data for image in m.images]) for m in pair.prompt]


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


SYSTEM = {"role": "system", "content": "be brief"}
PART = {"type": "image"}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": [SYSTEM, user("which?")], "images": [ONE, TWO]}, [("be brief", []), ("##which?", [ONE, TWO])]),
        ({"prompt": [user("which?")], "image": ONE}, [("#which?", [ONE])]),
        ({"prompt": "which?", "image": ONE}, [("#which?", [ONE])]),
        ({"prompt": [user("a <image> or <image>?")], "images": [ONE, TWO]}, [("a # or #?", [ONE, TWO])]),
        (
            {"prompt": [user([{"type": "text", "text": "see"}, PART]), user([PART])], "images": [ONE, TWO]},
            [("see#", [ONE]), ("#", [TWO])],
        ),
        (  # where parts say where images stand, a tag is text
            {"prompt": [user([{"type": "text", "text": "<image>"}, PART])], "images": [ONE]},
            [("<image>#", [ONE])],
        ),
        ({"prompt": [user("an <image> tag")], "images": []}, [("an <image> tag", [])]),
        ({"prompt": [user([{"type": "image", "image": ONE}])]}, [("#", [ONE])]),
    ],
)
def test_where_images_stand(row: dict[str, Any], expected: list[tuple[str, list[bytes]]]) -> None:
    assert contents(row | ANSWERS) == expected


def test_whole_conversations_show_the_images_on_both_sides() -> None:
    row = {"images": [ONE], **{side: [user("<image> which?"), *ANSWERS[side]] for side in ANSWERS}}
    assert contents(row) == [("# which?", [ONE])]


def test_sides_that_repeat_the_prompt_show_its_images() -> None:
    prompt = [user("<image> which?")]
    row = {"images": [ONE], "prompt": prompt, **{side: [*prompt, *ANSWERS[side]] for side in ANSWERS}}
    assert contents(row) == [("# which?", [ONE])]


def test_messages_as_json_and_an_empty_list_beside_an_image() -> None:
    messages = json.dumps([user("what?"), {"role": "assistant", "content": "red"}])
    [dialogue], _ = load_dialogues([{"messages": messages, "images": [], "image": ONE}])
    assert dialogue.messages[0].images == (Image(ONE),)


def test_pillow_images_of_any_mode_are_kept() -> None:
    for mode in ("L", "RGBA", "CMYK", "F", "YCbCr"):
        [(_, [data])] = contents({"prompt": [user("?")], "image": Pillow.new(mode, (2, 2))} | ANSWERS)
        assert Pillow.open(BytesIO(data)).size == (2, 2)


def test_a_side_may_show_what_comes_after_the_fork() -> None:
    later = [*ANSWERS["chosen"], user([PART]), {"role": "assistant", "content": "green"}]
    row = {"prompt": [user([PART])], "images": [ONE, TWO], "chosen": later, "rejected": later[:2] + ANSWERS["rejected"]}
    [pair], _ = load_pairs([row])
    assert [[image.data for m in side for image in m.images] for side in (pair.prompt, pair.chosen, pair.rejected)] == [
        [ONE],
        [TWO],
        [TWO],
    ]


def test_sharegpt_rows_show_images_at_their_tags() -> None:
    row = {
        "images": [ONE],
        "conversations": [{"from": "human", "value": "<image>what?"}, {"from": "gpt", "value": "a"}],
    }
    [dialogue], notes = load_dialogues([row])
    assert dialogue.messages[0].content == IMAGE_MARK + "what?"
    assert notes == ()


def test_forms_of_an_image(tmp_path: Path) -> None:
    file = tmp_path / "one.png"
    file.write_bytes(ONE)
    url = "data:image/png;base64," + base64.b64encode(ONE).decode()
    forms = [ONE, str(file), file, url, {"bytes": ONE, "path": None}, {"path": str(file)}, Pillow.open(file)]
    for form in forms:
        [(_, [data])] = contents({"prompt": [user("?")], "image": form} | ANSWERS)
        assert Pillow.open(BytesIO(data)).tobytes() == Pillow.open(file).tobytes()
    openai = parse(Message, user([{"type": "image_url", "image_url": {"url": url}}]), "here")
    assert openai.images == (Image(ONE),)


def test_pairs_with_images_are_written_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    pairs, _ = load_pairs([{"prompt": [SYSTEM, user("a <image>?")], "image": ONE, "id": "1"} | ANSWERS])
    write_pairs(pairs, file)
    [again], _ = load_pairs(file)
    assert [m.said for m in again.prompt] == [m.said for m in pairs[0].prompt]
    assert again.prompt[1].images == (Image(ONE),)


def test_pairs_about_different_images_are_of_different_dialogues() -> None:
    rows = [{"prompt": [user("what?")], "image": image} | ANSWERS for image in (ONE, ONE, TWO)]
    first, second, third = (pair.dialogue_id for pair in load_pairs(rows)[0])
    assert first == second != third


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (
            {"prompt": [user([PART])], "images": [ONE, TWO]},
            "row 0: images: holds 2 images, and prompt and chosen have places for 1; give as many parts of type image,"
            " or none to have all before the first user message",
        ),
        (
            {"prompt": "p", "image": ONE, "chosen": "a", "rejected": "b"},
            "row 0: image: a row of plain text cannot hold images; give its texts as messages",
        ),
        (
            {"prompt": [user("?")], "image": "gone.png"},
            "row 0: prompt[0]: the image cannot be read: No such file or directory (got 'gone.png'); give a path that"
            " is seen from the current folder, or data:image/png;base64,…",
        ),
        (
            {"prompt": [user("?")], "image": "https://somewhere/a.png"},
            "row 0: prompt[0]: images are not fetched (got 'https://somewhere/a.png'); download it and give its path",
        ),
        (
            {"prompt": [user("?")], "image": "iVBOR" * 100},
            f"row 0: prompt[0]: the image cannot be read: File name too long (got '{'iVBOR' * 12}…'); give a path"
            " that is seen from the current folder, or data:image/png;base64,…",
        ),
        (
            {"prompt": [user("?")], "image": ONE, "images": [TWO]},
            "row 0: images and image: both hold images; give all of them in images",
        ),
        (
            {"prompt": [user("a <image>")], "image": ONE, "verbatim": True},
            "row 0: verbatim: (prompt + chosen) holds images, which have no place in plain text; leave verbatim out",
        ),
        (
            {"prompt": [user([PART])]},
            "row 0: prompt[0]: an image must be an image of Pillow, bytes, a path or a data URL (got no image; the row"
            " gives none for it in `images`)",
        ),
        (
            {"prompt": [user("?")], "chosen": [{"role": "assistant", "content": [{"type": "image", "image": ONE}]}]},
            "row 0: chosen[0]: an assistant message cannot hold an image, since the model writes text; take it out",
        ),
    ],
)
def test_mistakes_are_one_line(row: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError) as raised:
        load_pairs([ANSWERS | row])
    assert str(raised.value) == error
