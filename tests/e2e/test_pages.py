"""Pages about disks of NTFS are true: all their blocks are run as they stand, those that need root too.

What every page has in its folder: see ``tests.docs.test_docs``, which runs the ``console`` blocks alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import fenced_blocks
from tests.docs.shell import Shell
from tests.docs.test_docs import DOCS, ROOT, environment, run_console
from tests.e2e.conftest import needs

pytestmark = pytest.mark.e2e
RUN = frozenset({"console", "sh-session"})
WRITE_LAYERS = (
    "from demolayers import *; write_base(Path('base.tar.gz')); write_app(Path('app.tar.gz'))"
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with two layers; a disk that a page has mounted in it is taken away at the end."""
    folder = tmp_path / "work"
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-c", WRITE_LAYERS],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
        timeout=60,
        check=True,
    )
    yield folder
    if os.path.ismount(folder / "disk"):
        subprocess.run(["umount", "--lazy", folder / "disk"], timeout=60, check=True)


@pytest.mark.parametrize("name", ["read-a-docker-disk.md"])
def test_page_runs_as_it_says(folder: Path, tmp_path: Path, name: str) -> None:
    needs("mkntfs", "ntfs-3g")
    page = DOCS / "how-to" / name
    blocks = [one for one in fenced_blocks(page.read_text("utf-8")) if one.language in RUN]
    assert {block.language for block in blocks} == RUN
    environ = environment(tmp_path)
    environ["PATH"] += os.pathsep + "/usr/sbin:/sbin"
    with Shell(folder, environ) as shell:
        for block in blocks:
            run_console(page, block, shell)
