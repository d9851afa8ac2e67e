"""`turnpoint pairs annotate`: who it answers, what it keeps when it is killed, how it ends."""

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.annotating import Annotating, annotating, write_samples
from tests.cli.conftest import Ran

from turnpoint.data import load_pairs

Run = Callable[..., Ran]


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return write_samples(tmp_path / "s.jsonl", ("Good.", "Bad."), ("Yes.", "No.", "Perhaps."), ("Up.", "Down."))


def sides(file: Path) -> list[tuple[str | None, str | None]]:
    return [(pair.chosen[0].content, pair.rejected[0].content) for pair in load_pairs(file)[0]]


def test_who_is_answered(samples: Path, tmp_path: Path) -> None:
    """The page to anyone here; data and choices to who has the token; nothing under the name of another host."""
    skip = {"prompt": 0, "verdict": "skip"}
    with annotating(samples, tmp_path / "p.jsonl") as (_, client, _):
        page = client.get("/", headers={"X-Turnpoint-Token": ""})
        assert page.status_code == 200
        assert client.headers["X-Turnpoint-Token"] not in page.text
        assert "Paris" not in page.text
        assert page.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
        assert "default-src 'none'" in page.text
        for token in ("", "x", "é"):
            for method, path in (("GET", "/state"), ("GET", "/prompts/0"), ("POST", "/choices"), ("POST", "/undo")):
                headers = {b"X-Turnpoint-Token": token.encode()}
                refused = client.request(method, path, headers=headers, json=skip)
                assert (refused.status_code, refused.json()) == (
                    403,
                    {"error": "the token is missing or not that of this server; open the address that it printed"},
                )
        for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:8765", "", "[", "127.0.0.2"):
            for path in ("/", "/state"):
                refused = client.get(path, headers={"Host": host})
                assert refused.status_code == 403, host
                assert refused.json()["error"].startswith(f"Host: is not this machine (got {host!r});")
        for host in ("localhost", "localhost:9", "127.0.0.1", "[::1]:9", "LOCALHOST"):
            assert client.get("/state", headers={"Host": host}).status_code == 200, host
        assert client.get("/state").json()["verdicts"] == [None, None, None]
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", client.base_url.port))  # another address of this machine


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "error"),
    [
        ("POST", "/choices", b"x" * 100_000, 413, "a body has 16384 bytes at most (got 100000)"),
        ("POST", "/choices", b"x" * 900_000, 413, "a body has 16384 bytes at most (got 900000)"),
        ("POST", "/choices", b"{", 400, "the body: not JSON: Expecting property name"),
        ("POST", "/choices", b"[" * 16_000, 400, "the body: not JSON: maximum recursion"),
        ("POST", "/choices", b"3", 400, "the body: must be an object (got 3)"),
        ("POST", "/choices", b'{"prompt": -1, "verdict": "tie"}', 400, "the body: prompt: "),
        ("POST", "/choices", b'{"prompt": 3, "verdict": "tie"}', 400, "prompt 3, or a reply to it, is not there"),
        ("POST", "/choices", b'{"prompt": "0", "verdict": "tie"}', 400, "the body: prompt: "),
        ("POST", "/choices", b'{"prompt": 0, "verdict": "undo"}', 400, "the body: verdict: "),
        ("POST", "/choices", b'{"prompt": 0, "verdict": "pair"}', 400, "a pair has both"),
        ("POST", "/choices", b'{"prompt": 0, "verdict": "pair", "chosen": 0, "rejected": 2}', 400, "is not there"),
        ("POST", "/choices", b'{"prompt": 0, "verdict": "pair", "chosen": 1, "rejected": 1}', 400, "the same reply"),
        ("POST", "/choices", b'{"prompt": 0, "verdict": "tie", "x": 1}', 400, "the body: x: "),
        ("POST", "/undo", b"", 409, "nothing was chosen that could be taken back"),
        ("POST", "/state", b"", 404, "/state: is not here"),
        ("GET", "/prompts/3", b"", 404, "/prompts/3: is not here"),
        ("GET", "/prompts/-1", b"", 404, "/prompts/-1: is not here"),
        ("GET", "/etc/passwd", b"", 404, "/etc/passwd: is not here"),
    ],
)
def test_what_is_refused(running: Annotating, method: str, path: str, content: bytes, status: int, error: str) -> None:
    refused = running.client.request(method, path, content=content)
    assert refused.status_code == status
    assert error in refused.json()["error"]
    assert running.state()["verdicts"] == [None, None, None]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Annotating]:
    """A server that nothing is chosen on."""
    folder = tmp_path_factory.mktemp("refused")
    samples = write_samples(folder / "s.jsonl", ("Good.", "Bad."), ("Yes.", "No.", "Perhaps."), ("Up.", "Down."))
    with annotating(samples, folder / "p.jsonl") as server:
        yield server


def test_a_killed_process_loses_nothing(samples: Path, tmp_path: Path) -> None:
    """Killed after each choice; the pairs are whole at each point, and another seed shows the same choices."""
    output = tmp_path / "folder" / "p.jsonl"
    with annotating(samples, output) as server:
        assert server.state()["counts"] == {"pairs": 0, "ties": 0, "skipped": 0, "left": 3}
        assert not output.exists(), "no pairs are no file"
        assert server.choose(1, "Perhaps.", "No.").json()["verdicts"] == [None, "pair", None]
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(60)
    assert sides(output) == [("Perhaps.", "No.")]
    with (tmp_path / "folder" / "p.jsonl.choices.jsonl").open("ab") as cut:
        cut.write(b'{"id": "d#0", "verd')  # what a kill may leave of a line
    output.unlink()  # as between the choice and the pairs
    with annotating(samples, output, "--seed", "3") as server:
        assert sides(output) == [("Perhaps.", "No.")]
        shown = server.client.get("/prompts/1").json()
        assert [shown["replies"][shown[side]]["text"] for side in ("chosen", "rejected")] == ["Perhaps.", "No."]
        assert server.client.post("/choices", json={"prompt": 2, "verdict": "skip"}).status_code == 200
        assert server.choose(0, "Bad.", "Good.").status_code == 200
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(60)
    assert sides(output) == [("Bad.", "Good."), ("Perhaps.", "No.")]
    with annotating(samples, output) as server:
        assert server.client.post("/undo").json()["prompt"] == 0
        assert sides(output) == [("Perhaps.", "No.")]
        assert server.state()["verdicts"] == [None, "pair", "skip"]
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 0
        assert server.process.communicate() == (f"{output}: pairs 1, ties 0, skipped 1, left 1\n", "")
    assert sorted(each.name for each in output.parent.iterdir()) == ["p.jsonl", "p.jsonl.choices.jsonl"]


def test_the_last_pair_taken_back_leaves_no_file(samples: Path, tmp_path: Path) -> None:
    output = tmp_path / "p.jsonl"
    with annotating(samples, output, "--json") as server:
        server.choose(0, "Good.", "Bad.")
        assert output.exists()
        server.client.post("/undo")
        assert not output.exists()
        server.process.send_signal(signal.SIGTERM)
        printed = json.loads(server.process.communicate()[0])
    assert printed == {"output": str(output), "pairs": 0, "ties": 0, "skipped": 0, "left": 3}


def test_dpo_trains_on_the_pairs(run: Run, samples: Path, tmp_path: Path, model: str) -> None:
    output = tmp_path / "p.jsonl"
    with annotating(samples, output) as server:
        server.choose(0, "Good.", "Bad.")
        server.choose(1, "Yes.", "No.")
        ran = run("dpo", str(output), "--model", model, "--output", str(tmp_path / "dpo"), "--max_steps", "1")
    assert ran.code == 0, ran.err
    report = json.loads((tmp_path / "dpo" / "data_report.json").read_text())
    assert report["splits"]["train"]["kept"] == 2


def test_what_the_data_says_is_among_the_replies(samples: Path, tmp_path: Path) -> None:
    with annotating(samples, tmp_path / "p.jsonl", "--gold") as server:
        assert sorted(server.replies(0)) == ["Bad.", "Good.", "It is sunny."]
        keys = {tuple(each) for each in server.client.get("/prompts/0").json()["replies"]}
        assert keys == {("role", "text", "cut", "unknown")}, "nothing marks it"
        server.choose(0, "It is sunny.", "Bad.")
    assert sides(tmp_path / "p.jsonl") == [("It is sunny.", "Bad.")]


def test_a_pair_that_cannot_be_is_refused(tmp_path: Path) -> None:
    call = {"tool_calls": [{"name": "cinema", "arguments": {}}]}
    samples = write_samples(tmp_path / "s.jsonl", ("Which city?", call), ("a", "b"))
    output = tmp_path / "p.jsonl"
    with annotating(samples, output) as server:
        assert server.client.get("/prompts/0").json()["replies"][server.replies(0).index("cinema({})")]["unknown"] == [
            "cinema"
        ]
        refused = server.choose(0, "cinema({})", "Which city?")
        assert refused.status_code == 409
        assert "chosen[0] calls unknown tool 'cinema'; tools offered: weather" in refused.json()["error"]
        assert server.choose(0, "Which city?", "cinema({})").status_code == 200
    assert len(load_pairs(output)[0]) == 1


def test_a_file_that_cannot_be_written_is_said_and_nothing_counts(samples: Path, tmp_path: Path) -> None:
    """The limit on the size of files stands for a full disk: the log has room for one choice and a half."""
    import resource

    output = tmp_path / "p.jsonl"
    with annotating(samples, output) as server:
        server.client.post("/choices", json={"prompt": 0, "verdict": "tie"})
        size = (tmp_path / "p.jsonl.choices.jsonl").stat().st_size
        limit = size + size // 2
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        refused = server.client.post("/choices", json={"prompt": 1, "verdict": "tie"})
        assert refused.status_code == 507
        assert "cannot write p.jsonl: " in refused.json()["error"]
        assert server.state()["verdicts"] == ["tie", None, None]
    assert (tmp_path / "p.jsonl.choices.jsonl").stat().st_size == size


@pytest.mark.parametrize("port", ["taken", "70000"])
def test_a_port_that_cannot_be_had(run: Run, samples: Path, tmp_path: Path, port: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = str(taken.getsockname()[1]) if port == "taken" else port
        ran = run("pairs", "annotate", str(samples), "--output", str(tmp_path / "p.jsonl"), "--port", number)
    assert ran.code == 2
    assert f"error: port: {number} cannot be listened on (" in ran.err


def test_pairs_of_others_are_not_written_over(run: Run, samples: Path, tmp_path: Path) -> None:
    output = tmp_path / "p.jsonl"
    output.write_text("{}\n")
    ran = run("pairs", "annotate", str(samples), "--output", str(output))
    line = f"error: output: {output} is there, and no p.jsonl.choices.jsonl of which it is made; name another file\n"
    assert ran == Ran(2, "", line)
    assert output.read_text() == "{}\n"


def test_choices_of_other_samples_are_not_taken(run: Run, samples: Path, tmp_path: Path) -> None:
    output = tmp_path / "p.jsonl"
    log = tmp_path / "p.jsonl.choices.jsonl"
    log.write_text('{"id": "d#0", "verdict": "tie"}\n{"id": "x", "verdict": "tie"}\n')
    ran = run("pairs", "annotate", str(samples), "--output", str(output))
    assert ran == Ran(
        2,
        "",
        f"error: {log}:2: a choice is about 'x', which the samples do not hold, or not with these replies; give the"
        " samples of the choices, or another --output\n",
    )


def test_samples_with_nothing_to_choose_among(run: Run, tmp_path: Path) -> None:
    samples = write_samples(tmp_path / "s.jsonl", ("Good.", "Good."), ("Yes.",))
    ran = run("pairs", "annotate", str(samples), "--output", str(tmp_path / "p.jsonl"))
    assert ran == Ran(
        2, "", f"error: {samples}: no prompt has two replies that differ; draw more with `turnpoint sample`\n"
    )


def test_a_browser_is_opened_where_there_is_a_display(
    run: Run, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening it is interrupted, as by Ctrl-C."""
    opened: list[str] = []

    def opens(address: str) -> bool:
        opened.append(address)
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", opens)
    monkeypatch.setattr("turnpoint.cli.pairs.annotate_server.AnnotateServer.serve_forever", lambda server: None)
    monkeypatch.setattr("sys.platform", "linux")
    words = ["pairs", "annotate", str(samples), "--output", str(tmp_path / "p.jsonl"), "--port", "0"]
    for display, flags, times in (("", [], 0), (":0", [], 1), (":0", ["--no_browser"], 1)):
        monkeypatch.setitem(os.environ, "DISPLAY", display)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        ran = run(*words, *flags)
        assert (ran.code, ran.out) == (0, f"{tmp_path}/p.jsonl: pairs 0, ties 0, skipped 0, left 3\n")
        assert len(opened) == times
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#\S{32}", opened[0])
