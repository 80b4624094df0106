"""``winlayers layer import``: make a layer of the store from its tar."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.progress import shown
from winlayers.cli.session import Session
from winlayers.layer.findings import Finding


@command(
    "import",
    examples=[
        "winlayers layer import base base.tar.gz",
        "winlayers layer import app - --parent base < app.tar.zst",
    ],
)
@click.argument("layer_id", metavar="ID")
@click.argument("file", default="-")
@click.option("--parent", default="", metavar="ID", help="Layer that it stands on.")
@click.option("--digest", metavar="DIGEST", help="Digest that FILE as given must have.")
@click.option("--diff-id", metavar="DIGEST", help="Digest that the uncompressed tar must have.")
@click.option("--no-sync", is_flag=True, help="Do not wait for the disk; for throw-away stores.")
@click.option("--lenient", is_flag=True, help="Keep names that only \\\\?\\ paths can make.")
@click.option("--allow-unterminated", is_flag=True, help="Take a tar without an end marker.")
@click.option("--max-size", metavar="SIZE", help="Limit on the uncompressed tar (20GB).")
@json_option
@pass_session
def run(
    session: Session,
    layer_id: str,
    file: str,
    parent: str,
    digest: str | None,
    diff_id: str | None,
    no_sync: bool,
    lenient: bool,
    allow_unterminated: bool,
    max_size: str | None,
) -> None:
    """Import a layer tar, compressed or not, as layer ID; all of it or nothing."""
    from winlayers.backends.contract import ImportPolicy
    from winlayers.base.digest import Digest
    from winlayers.base.units import ram_in_bytes

    limit = None if max_size is None else ram_in_bytes(max_size)
    policy = ImportPolicy(lenient, allow_unterminated, limit, not no_sync)
    findings: list[Finding] = []
    is_stdin = file == "-"
    size = None if is_stdin else Path(file).stat().st_size
    descriptor = sys.stdin.fileno() if is_stdin else file
    source = open(descriptor, "rb", buffering=0, closefd=not is_stdin)  # noqa: SIM115 - in the block below
    with source, shown(session.progress, f"importing {layer_id}", size) as progress:
        summary = session.open_driver().import_layer(
            layer_id,
            parent,
            source,
            digest=None if digest is None else Digest.parse(digest),
            diff_id=None if diff_id is None else Digest.parse(diff_id),
            policy=policy,
            progress=progress,
            cancel=session.cancel,
            report=findings.append,
        )
    session.report_findings(findings)
    if session.is_json:
        session.out.document({"id": layer_id, "parent": parent or None, **asdict(summary)})
    else:
        session.out.line(summary.diff_id)
