"""Blocks, cleaning, JSON, and readers that go away."""

from __future__ import annotations

import errno
import io
import json

import pytest

from winlayers.cli.output import Output, ReaderGone, count_of, gone_or, table


class Recorder(io.BytesIO):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def write(self, data: object, /) -> int:
        written = super().write(data)  # type: ignore[arg-type]  # bytes, as Output gives them
        self.sizes.append(written)
        return written


def test_first_line_goes_out_at_once_and_the_rest_in_blocks() -> None:
    stream = Recorder()
    out = Output(stream)
    seen: list[int] = []

    def lines() -> object:
        for number in range(20_000):
            seen.append(len(stream.sizes))
            yield f"line {number}"

    out.lines(lines())  # type: ignore[arg-type]  # an iterator of texts
    out.flush()
    assert seen[1] == 1
    assert len(stream.sizes) < 20
    assert stream.getvalue().count(b"\n") == 20_000


@pytest.mark.parametrize(
    ("text", "in_a_pipe", "on_a_terminal"),
    [
        ("plain", b"plain", b"plain"),
        ("größe 文件", "größe 文件".encode(), "größe 文件".encode()),
        ("a\x1b[2Jb\nc", b"a\\x1b[2Jb\\x0ac", b"a\\x1b[2Jb\\x0ac"),
        ("csi\x9b2J", b"csi\\x9b2J", b"csi\\x9b2J"),
        ("lone\ud800", b"lone\xed\xa0\x80", b"lone\\ud800"),
        ("txt.\u202eexe", "txt.\u202eexe".encode(), b"txt.\\u202eexe"),
    ],
)
def test_names_are_cleaned(text: str, in_a_pipe: bytes, on_a_terminal: bytes) -> None:
    for is_terminal, expected in ((False, in_a_pipe), (True, on_a_terminal)):
        stream = io.BytesIO()
        out = Output(stream, is_terminal=is_terminal)
        out.line(text)
        out.flush()
        assert stream.getvalue() == expected + b"\n"


def test_json_keeps_every_name_exactly() -> None:
    stream = io.BytesIO()
    out = Output(stream)
    name = 'a\x1b"\ud800文'
    out.rows([{"path": name}])
    out.document({"path": name})
    out.flush()
    row, *document = stream.getvalue().decode().splitlines()
    assert json.loads(row) == json.loads("".join(document)) == {"path": name}


def test_styles_only_where_there_is_colour() -> None:
    assert Output(io.BytesIO(), has_color=True).styled("A\x1b", "red") == "\x1b[31mA\\x1b\x1b[0m"
    assert Output(io.BytesIO()).styled("A", "red") == "A"


def test_closed_pipe_is_no_error() -> None:
    class Closed(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    out = Output(Closed())
    with pytest.raises(ReaderGone):
        out.line("text")


def test_full_disk_is_an_error_that_names_the_place() -> None:
    error = gone_or(OSError(errno.ENOSPC, "No space left on device"))
    assert isinstance(error, OSError)
    assert error.filename == "standard output"


def test_table_sets_columns() -> None:
    assert table([("ID", "SIZE"), ("a", "10"), ("long", "5")], right=frozenset({1})) == [
        "ID    SIZE",
        "a       10",
        "long     5",
    ]
    assert table([]) == []


def test_count_has_the_right_form() -> None:
    assert [count_of(n, "loss", "losses") for n in (0, 1, 2)] == ["0 losses", "1 loss", "2 losses"]
