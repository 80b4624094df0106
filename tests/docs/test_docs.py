"""What the documents show is true: their commands and programs are run, their output compared.

``pages`` tells how a page is written. Each page has a folder of its own with ``base.tar.gz``,
``app.tar.gz`` (``tools/demolayers.py``) and ``rootfs.tar`` (a layer of a cut-down image, as another tool
wrote it), an empty store, and ``winlayers`` on the path.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import RUNNABLE_MARK, Block, commands_of, fenced_blocks, fits
from tests.docs.shell import Shell

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Pages that show how something is done, so that they must have something to run.
SHOWING = [ROOT / "README.md", DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]
MARKED = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if page not in SHOWING and RUNNABLE_MARK in page.read_text("utf-8").splitlines()
]
RUN = frozenset({"console", "python"})
PROGRESS = re.compile(
    r"^[a-z]+ing [^:\n]+: (?:\d+%, )?[\d.]+[kMG]?B(?:, | in )[^\n]*\n", re.MULTILINE
)


@pytest.fixture(scope="session")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the layers that every page has."""
    folder = tmp_path_factory.mktemp("layers")
    tools = str(ROOT / "tools")
    sys.path.insert(0, tools)
    try:
        from demolayers import write_app, write_base
    finally:
        sys.path.remove(tools)
    write_base(folder / "base.tar.gz")
    write_app(folder / "app.tar.gz")
    shutil.copy(ROOT / "tests" / "data" / "windows-container-rootfs.tar", folder / "rootfs.tar")
    return folder


@pytest.mark.parametrize("page", [*SHOWING, *MARKED], ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs_as_it_says(
    page: Path, layers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = list(fenced_blocks(page.read_text("utf-8")))
    assert any(block.language in RUN for block in blocks), f"{page} shows nothing that can be run"
    folder = tmp_path / "work"
    shutil.copytree(layers, folder)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "__main__"}
    followers = [*blocks[1:], None]
    with Shell(folder, environment(tmp_path)) as shell:
        for block, follower in zip(blocks, followers, strict=True):
            if block.language == "console":
                run_console(page, block, shell)
            elif block.language == "python":
                run_python(page, block, follower, names)


def environment(folder: Path) -> dict[str, str]:
    """Variables that hold nothing of who runs the tests."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "WINLAYERS_ROOT": str(folder / "store"),
    }


def run_console(page: Path, block: Block, shell: Shell) -> None:
    for command in commands_of(block):
        printed, status = shell.run(command.text)
        where = f"{page.name}:{command.line_number}: $ {command.text}"
        assert status == command.status, f"{where}\nended with {status}:\n{printed}"
        check_printed(where, command.output, printed)


def run_python(page: Path, block: Block, follower: Block | None, names: dict[str, Any]) -> None:
    is_output = follower is not None and follower.language == "output"
    expected = follower.lines if is_output and follower is not None else ()
    # Blank lines, so that a traceback tells the lines of the page.
    source = "\n" * (block.line_number - 1) + "\n".join(block.lines)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, str(page), "exec"), names)
    check_printed(f"{page.name}:{block.line_number}", expected, printed.getvalue())


def check_printed(where: str, expected: tuple[str, ...], printed: str) -> None:
    # What takes longer than a second tells how far it is, which a page does not show.
    printed = PROGRESS.sub("", printed)
    if not fits(expected, printed):
        shown = "\n".join(expected)
        pytest.fail(f"{where}\nprinted\n{printed}\nnot\n{shown}", pytrace=False)
