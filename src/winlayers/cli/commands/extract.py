"""``winlayers extract``: a part of a target as a plain folder."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from winlayers.cli.lossnotes import LossNotes
from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.output import count_of
from winlayers.cli.paths import find_node, path_argument
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target
from winlayers.errors import EXIT_PARTIAL
from winlayers.layer.folder import ExtractCounts, extract
from winlayers.layer.ntfswriter import extract_to_ntfs


@command(
    "extract",
    examples=[
        "winlayers extract app -o app-files                     # all of C:",
        "winlayers extract app /Windows/Fonts -o fonts",
        "winlayers extract --raw tar:layer.tar Hives -o hives",
        "winlayers extract --to-ntfs app -o /mnt/disk/app       # all that NTFS has",
    ],
)
@click.argument("target", shell_complete=complete_target)
@click.argument("path", default="")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to write into; empty, or not there yet.",
)
@click.option(
    "--symlinks", is_flag=True, help="Write links that lead inside what is extracted as such."
)
@click.option(
    "--to-ntfs",
    is_flag=True,
    help="Keep all that NTFS has; DIR is on a mount of ntfs-3g.",
)
@click.option("--strict", is_flag=True, help="End with 3 if anything is lost.")
@raw_option
@json_option
@pass_session
def run(
    session: Session,
    target: str,
    path: str,
    *,
    output: Path,
    symlinks: bool,
    to_ntfs: bool,
    strict: bool,
    raw: bool,
) -> int:
    """Write PATH of TARGET, the root of C: by default, and all below it into a folder.

    What a plain folder cannot hold, as security and alternate streams, is told on standard error: once
    for each kind, with -v for each file. With --to-ntfs it is all kept but the time of change; the disk
    is mounted with: ntfs-3g -o streams_interface=windows,noatime DEVICE FOLDER.
    """
    if to_ntfs and symlinks:
        raise click.UsageError("--to-ntfs writes every link as it is; leave --symlinks out")
    losses = LossNotes(session)
    output.parent.mkdir(parents=True, exist_ok=True)
    with open_target(session, target) as opened:
        node = find_node(opened.view, path_argument(path), raw=raw)
        write = extract_to_ntfs if to_ntfs else partial(extract, symlinks=symlinks)
        counts = write(
            opened.view,
            node,
            output,
            on_loss=losses.add,
            progress=session.progress,
            cancel=session.cancel,
        )
    losses.tell()
    _tell(session, output, counts)
    return EXIT_PARTIAL if strict and counts.losses else 0


def _tell(session: Session, output: Path, counts: ExtractCounts) -> None:
    if session.is_json:
        session.out.document({"dir": str(output), **asdict(counts)})
    else:
        session.note(
            f"wrote {count_of(counts.files, 'file', 'files')}, "
            f"{count_of(counts.directories, 'folder', 'folders')} and "
            f"{count_of(counts.hard_links + counts.symlinks, 'link', 'links')} to {output}"
        )
