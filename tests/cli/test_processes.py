"""The program as a process: pipes that close, signals, terminals, full disks, and what it imports."""

from __future__ import annotations

import hashlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builders import a_file, a_layer, layer_tar

CONTENT = os.urandom(1 << 20) * 8
TAR = layer_tar(a_layer(a_file("Files/big.bin", CONTENT), a_file("Files/a.txt", b"text")))
PROGRAM = [sys.executable, "-m", "winlayers"]


class Program:
    """Starts the program on one store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = {**os.environ, "WINLAYERS_ROOT": str(root)}

    def start(self, *arguments: str, **streams: int) -> subprocess.Popen[bytes]:
        given = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **streams,
        }
        return subprocess.Popen([*PROGRAM, *arguments], env=self.environ, **given)  # type: ignore[call-overload]  # plain descriptors

    def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*PROGRAM, *arguments], env=self.environ, input=stdin, capture_output=True, timeout=60
        )


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    program = Program(tmp_path_factory.mktemp("processes"))
    done = program.run("layer", "import", "big", stdin=TAR)
    assert done.returncode == 0, done.stderr
    return program


def _ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    assert process.stderr is not None
    with process:
        told = process.stderr.read()
        return process.wait(30), told


def test_export_into_a_pipe_is_exact(program: Program) -> None:
    done = program.run("layer", "export", "big")
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(TAR).digest()


def test_export_into_a_redirected_file_is_exact(program: Program, tmp_path: Path) -> None:
    for mode, expected in (("wb", TAR), ("ab", TAR + TAR)):
        with open(tmp_path / "out.tar", mode) as file:
            assert _ended(program.start("layer", "export", "big", stdout=file.fileno()))[0] == 0
        assert (tmp_path / "out.tar").read_bytes() == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ("layer", "export", "big"),
        ("layer", "export", "big", "--gzip"),
        ("cat", "big", "/big.bin"),
        ("ls", "-R", "big"),
        ("--help",),
    ],
)
def test_reader_that_goes_away_is_no_error(program: Program, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = program.start(*arguments, stdout=writing)
    os.close(writing)
    assert _ended(process) == (0, b"")


@pytest.mark.parametrize(
    "arguments", [("layer", "export", "big"), ("cat", "big", "/a.txt"), ("ls", "big")]
)
def test_full_disk_behind_standard_output_has_its_exit_code(
    program: Program, arguments: tuple[str, ...]
) -> None:
    with open("/dev/full", "wb") as full:
        code, told = _ended(program.start(*arguments, stdout=full.fileno()))
    assert (code, told.count(b"\n")) == (18, 1)
    assert b"No space left" in told


def test_closed_standard_files_do_no_harm(program: Program) -> None:
    script = 'exec "$0" -m winlayers layer export big >&- 2>&- <&-'
    done = subprocess.run(["sh", "-c", script, sys.executable], env=program.environ, timeout=30)
    assert done.returncode == 0
    assert program.run("store", "check", "--deep").returncode == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_ends_an_import_and_nothing_is_left(
    program: Program, number: signal.Signals, code: int
) -> None:
    process = program.start("layer", "import", "new", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(TAR[: 4 << 20])
    process.stdin.flush()
    _wait_for_staging(program.root / "tmp")
    process.send_signal(number)
    assert process.wait(30) == code
    with process:
        assert process.stderr is not None
        told = process.stderr.read()
    assert told.endswith(b"winlayers: interrupted; nothing is left of it\n")
    assert b"Traceback" not in told
    assert list((program.root / "tmp").iterdir()) == []
    assert program.run("layer", "ls", "-q").stdout == b"big\n"


def _wait_for_staging(tmp: Path) -> None:
    deadline = time.monotonic() + 20
    while not any(path.is_dir() for path in tmp.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ignored_interrupts_stay_ignored(program: Program) -> None:
    script = 'trap "" INT; exec "$0" -m winlayers layer import new2'
    process = subprocess.Popen(
        ["sh", "-c", script, sys.executable], env=program.environ, stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(TAR[: 4 << 20])
    process.stdin.flush()
    _wait_for_staging(program.root / "tmp")
    process.send_signal(signal.SIGINT)
    process.stdin.write(TAR[4 << 20 :])
    process.stdin.close()
    assert process.wait(30) == 0
    assert program.run("layer", "remove", "new2").returncode == 0


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)


def test_tar_is_not_read_from_or_written_to_a_terminal(
    program: Program, terminal: tuple[int, int]
) -> None:
    _, theirs = terminal
    for arguments, stream in (
        (("layer", "export", "big"), "stdout"),
        (("layer", "import", "x"), "stdin"),
    ):
        code, told = _ended(program.start(*arguments, **{stream: theirs}))
        assert code == 2
        assert b"terminal" in told
    os.close(theirs)


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (("--version",), {"sqlite3", "rich", "platformdirs", "winlayers.driver.driver"}),
        (("ls", "big"), {"rich", "platformdirs", "winlayers.layer.check"}),
        (("layer", "changes", "big"), {"rich", "platformdirs", "winlayers.formats.sddl"}),
    ],
)
def test_nothing_heavy_is_imported_that_is_not_needed(
    program: Program, arguments: tuple[str, ...], unwanted: set[str]
) -> None:
    code = (
        "import os, sys; from winlayers.cli.app import run; "
        "code = run(sys.argv[1:], os.environ); "
        "sys.stderr.write('\\n'.join(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=program.environ, capture_output=True
    )
    assert done.returncode == 0
    assert not unwanted & set(done.stderr.decode().split("\n"))


def test_second_process_on_the_same_store_sees_the_same(program: Program) -> None:
    first, second = (program.start("ls", "-R", "big") for _ in range(2))
    assert [first.stdout.read(), second.stdout.read()] == [b"/a.txt\n/big.bin\n"] * 2  # type: ignore[union-attr]  # both are pipes
    assert (_ended(first)[0], _ended(second)[0]) == (0, 0)
