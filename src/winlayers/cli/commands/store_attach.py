"""``winlayers store attach``: the layers of Docker on Windows, on a disk that is mounted here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from winlayers.cli.attaching import write_attached
from winlayers.cli.commands.layer_export import output_option
from winlayers.cli.lossnotes import LossNotes
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.output import gone_or, table
from winlayers.cli.rawcopy import new_file
from winlayers.cli.session import Session
from winlayers.cli.target import unique_id
from winlayers.driver.attached import AttachedLayer, AttachedRoot
from winlayers.errors import EXIT_PARTIAL, InvalidArgument, WinlayersError

_HEADS = ("ID", "PARENT", "KIND", "DIFF ID")


@command(
    "attach",
    examples=[
        "winlayers store attach /mnt/ProgramData/docker",
        "winlayers store attach /mnt/ProgramData/docker 4a1f… -o layer.tar",
        "winlayers store attach /mnt/ProgramData/docker 4a1f… | winlayers layer import base",
        "winlayers store attach /mnt/ProgramData/docker 4a1f… --import   # with its parents",
    ],
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("layer_id", metavar="[ID]", default="")
@output_option
@click.option(
    "--import",
    "is_import",
    is_flag=True,
    help="Import layer ID and its parents into the store instead, under their ids.",
)
@json_option
@pass_session
def run(session: Session, folder: Path, layer_id: str, output: str, *, is_import: bool) -> int:
    """List the layers of Docker on Windows in DIR, or write the tar of layer ID.

    DIR is the data root of Docker on a disk of Windows, or the folder windowsfilter; it is only read. The disk
    is mounted with: ntfs-3g -o ro,streams_interface=windows,noatime DEVICE FOLDER. As a TARGET such a layer is
    windowsfilter:DIR:ID. Where Docker has recorded the tar of a layer, it is given byte for byte; otherwise
    one is made of a base layer, and layers that have parents cannot be read here.
    """
    if is_import and (not layer_id or output != "-"):
        raise InvalidArgument("--import needs the ID of a layer, and writes no FILE")
    root = AttachedRoot(folder)
    if layer_id:
        ids = list(root.ids())
        resolved = layer_id if layer_id in ids else unique_id(layer_id, ids, str(folder))
        if is_import:
            _import(session, root, resolved)
        else:
            _export(session, root.layer(resolved), output)
        return 0
    rows = _Rows(session, root)
    if session.is_json:
        session.out.rows(rows)
    else:
        session.out.lines(table([_HEADS, *map(_cells, rows)]))
    return EXIT_PARTIAL if rows.failed else 0


class _Rows:
    """A row for each layer that can be read; the others are told and counted."""

    def __init__(self, session: Session, root: AttachedRoot) -> None:
        self._session = session
        self._root = root
        self.failed = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for layer_id in self._root.ids():
            try:
                yield _row(self._root.layer(layer_id))
            except WinlayersError as error:
                self.failed += 1
                self._session.report_error(error)


def _row(layer: AttachedLayer) -> dict[str, Any]:
    return {
        "id": layer.layer_id,
        "parent": layer.chain.parent,
        "chain": list(layer.chain),
        "kind": layer.kind,
        "other_id": layer.other_id,
        "diff_id": None if layer.recorded is None else str(layer.recorded.diff_id),
        "chain_id": None if layer.recorded is None else str(layer.recorded.chain_id),
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (row["id"], row["parent"] or "-", row["kind"], row["diff_id"] or "-")


def _import(session: Session, root: AttachedRoot, layer_id: str) -> None:
    with session.start_writer_ahead():
        from winlayers.cli.attachedimport import import_attached

        rows = import_attached(session, root, layer_id)
        if session.is_json:
            session.out.rows(rows)
        else:
            session.out.lines(f"{row['id']} {row['diff_id']}" for row in rows)


def _export(session: Session, layer: AttachedLayer, output: str) -> None:
    if output == "-" and session.out.is_terminal:
        raise InvalidArgument("a tar is not for a terminal; use -o FILE, or a pipe")
    losses = LossNotes(session)
    options: dict[str, Any] = {
        "note": session.note,
        "report": losses.add,
        "progress": session.progress,
        "cancel": session.cancel,
    }
    if output != "-":
        with new_file(Path(output)) as file:
            write_attached(layer, file, **options)
    else:
        session.out.flush()
        try:
            write_attached(layer, session.out.stream, **options)
        except OSError as error:
            raise gone_or(error) from error
    losses.tell()
