"""The tour of images in the README is true: it is run as it stands, with a registry and skopeo, on a free port."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import Block, fenced_blocks
from tests.docs.shell import Shell
from tests.docs.test_docs import ROOT, environment, run_console
from tests.e2e.conftest import needs
from tests.e2e.registries import free_port

pytestmark = pytest.mark.e2e
PAGE = ROOT / "README.md"
PORT = ":5000"
WRITE_LAYERS = (
    "from demolayers import *; write_base(Path('base.tar.gz')); write_app(Path('app.tar.gz'))"
)
IMPORT = (
    "winlayers layer import base base.tar.gz",
    "winlayers layer import app app.tar.gz --parent base",
)
# What the reader's own pause between two commands does.
WAIT = "for n in $(seq 100); do (: < /dev/tcp/localhost/{port}) 2> registry.wait && break; sleep 0.1; done"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in a folder with the layers of the demo, imported."""
    needs("docker-registry", "skopeo")
    folder = tmp_path / "work"
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-c", WRITE_LAYERS],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
        timeout=60,
        check=True,
    )
    with Shell(folder, environment(tmp_path)) as shell:
        for command in IMPORT:
            assert shell.run(command)[1] == 0
        yield shell
        shell.run("kill $(jobs -p) 2> registry.end")


def test_tour_of_images_runs_as_it_says(shell: Shell) -> None:
    port = free_port()
    text = PAGE.read_text("utf-8").replace(PORT, f":{port}")
    (block,) = (
        one for one in fenced_blocks(text) if "docker-registry serve" in "\n".join(one.lines)
    )
    start = next(n for n, line in enumerate(block.lines) if line.startswith("$ winlayers"))
    run_console(PAGE, Block(block.language, block.lines[:start], block.line_number), shell)
    assert shell.run(WAIT.format(port=port))[1] == 0
    run_console(PAGE, Block(block.language, block.lines[start:], block.line_number + start), shell)
