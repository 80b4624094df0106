"""``winlayers layer import``: a layer of the store from its tar."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from winlayers.cli.options import command, json_option, lenient_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_parent
from winlayers.errors import InvalidArgument

if TYPE_CHECKING:
    from winlayers.layer.entry import LayerSummary
    from winlayers.layer.findings import Finding

_KEPT_FINDINGS = 1000


@command(
    "import",
    examples=[
        "winlayers layer import base base.tar.gz",
        "winlayers layer import app --parent base < app.tar.zst",
        "winlayers layer import app app.tar --parent base --diff-id sha256:…   # proven whole",
    ],
)
@click.argument("layer_id", metavar="ID")
@click.argument("file", default="-", metavar="[FILE]")
@click.option(
    "--parent",
    default="",
    metavar="ID",
    shell_complete=complete_target,
    help="Layer that it stands on; without, it is a base layer.",
)
@click.option("--digest", metavar="DIGEST", help="What FILE must have, as it is: sha256:….")
@click.option("--diff-id", metavar="DIGEST", help="What the uncompressed tar must have: sha256:….")
@click.option("--max-size", metavar="SIZE", help="Refuse an uncompressed tar of more: 20GB.")
@lenient_option
@click.option(
    "--allow-unterminated",
    is_flag=True,
    help="Take a tar without an end marker though no digest proves it whole.",
)
@click.option(
    "--no-sync", is_flag=True, help="Do not wait for the disk; for stores that may be lost."
)
@json_option
@pass_session
def run(
    session: Session,
    layer_id: str,
    file: str,
    parent: str,
    *,
    digest: str | None,
    diff_id: str | None,
    max_size: str | None,
    lenient: bool,
    allow_unterminated: bool,
    no_sync: bool,
) -> None:
    """Import a layer tar, gzip, zstd or not compressed, as layer ID: all of it or nothing.

    FILE is standard input by default, or for -. Prints the diff ID: the digest of the uncompressed tar.
    """
    with session.start_writer_ahead():
        # Imported only now, so that the write-layer process gets ready at the same time.
        from winlayers.backends.contract import ImportPolicy
        from winlayers.base.digest import Digest
        from winlayers.cli.progress import shown

        policy = ImportPolicy(lenient, allow_unterminated, _limit(max_size), not no_sync)
        wanted_digest = None if digest is None else Digest.parse(digest)
        wanted_diff_id = None if diff_id is None else Digest.parse(diff_id)
        findings = KeptFindings()
        with _opened(file) as (source, size):
            driver = session.open_driver()
            resolved_parent = resolve_parent(session, driver, parent) if parent else ""
            with shown(session.progress, f"importing {layer_id}", size) as progress:
                summary = driver.import_layer(
                    layer_id,
                    resolved_parent,
                    source,
                    digest=wanted_digest,
                    diff_id=wanted_diff_id,
                    policy=policy,
                    progress=progress,
                    cancel=session.cancel,
                    report=findings.add,
                )
    print_summary(session, layer_id, resolved_parent, summary, findings)


class KeptFindings:
    """What imports find: the first of it, and how much; a hostile layer has millions. Any thread may add."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.count = 0
        self._lock = threading.Lock()

    def add(self, finding: Finding) -> None:
        with self._lock:
            self.count += 1
            if len(self.kept) < _KEPT_FINDINGS:
                self.kept.append(finding)


def _limit(text: str | None) -> int | None:
    from winlayers.base.units import ram_in_bytes

    limit = None if text is None else ram_in_bytes(text)
    if limit is not None and limit <= 0:
        raise InvalidArgument(f"--max-size {text} is no size that a layer can have")
    return limit


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """The tar, and how many bytes it has, where that is known."""
    if file == "-":
        # Without a buffer of Python's own, so that nothing stands between the pipe and the pump.
        descriptor = 0 if sys.stdin is None else sys.stdin.fileno()
        if os.isatty(descriptor):
            raise InvalidArgument("a tar does not come from a terminal; give a FILE, or use a pipe")
        with open(descriptor, "rb", buffering=0, closefd=False) as source:
            yield source, _size_of(descriptor)
        return
    with open(Path(file), "rb", buffering=0) as source:
        yield source, _size_of(source.fileno())


def _size_of(descriptor: int) -> int | None:
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def print_summary(
    session: Session, layer_id: str, parent: str, summary: LayerSummary, findings: KeptFindings
) -> None:
    """Print what was imported: the diff ID alone, or all as JSON.

    Args:
        session: where to, and whether as JSON.
        layer_id: the new layer.
        parent: its parent, or ``""``.
        summary: what was counted.
        findings: what was found.
    """
    from winlayers.cli.checklines import finding_json

    if not session.is_json:
        session.report_findings(findings.kept, findings.count)
        session.out.line(summary.diff_id)
        return
    session.out.document(
        {
            "id": layer_id,
            "parent": parent or None,
            "diff_id": summary.diff_id,
            "digest": summary.digest,
            "size": summary.size,
            "entries": summary.entry_count,
            "tar_size": summary.tar_size,
            "finding_count": findings.count,
            "findings": [finding_json(finding) for finding in findings.kept],
        }
    )
