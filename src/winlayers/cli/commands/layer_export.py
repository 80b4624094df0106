"""``winlayers layer export``: a layer as the tar that was imported, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import UnsupportedOperation
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from winlayers.base.fileobj import RawWriter
from winlayers.cli.options import command, pass_session
from winlayers.cli.output import gone_or
from winlayers.cli.progress import shown
from winlayers.cli.rawcopy import copy_descriptor, new_file, write_fully
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_layer
from winlayers.errors import InvalidArgument

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BLOCK_SIZE = 1 << 20

output_option = click.option(
    "-o",
    "--output",
    default="-",
    metavar="FILE",
    help="Where to write; - is standard output. A file appears when it is whole.",
)


@command(
    "export",
    examples=[
        "winlayers layer export base -o base.tar",
        "winlayers layer export base --gzip > base.tar.gz",
        "winlayers layer export base | sha256sum            # the diff ID",
    ],
)
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@output_option
@click.option("--gzip", "compression", flag_value="gzip", help="Compress with gzip.")
@click.option("--zstd", "compression", flag_value="zstd", help="Compress with zstd.")
@pass_session
def run(session: Session, layer_id: str, output: str, compression: str | None) -> None:
    """Write the tar of layer ID: the bytes that were imported, compressed if that is asked for."""
    write_layer(session, layer_id, output, compression=compression)


def write_layer(
    session: Session,
    layer_id: str,
    output: str,
    *,
    parent: str = "",
    compression: str | None = None,
) -> None:
    """Write the tar of a layer to a file, or to standard output for ``-``.

    Raises:
        InvalidArgument: standard output is a terminal.
    """
    if output == "-" and session.out.is_terminal:
        raise InvalidArgument("a tar is not for a terminal; use -o FILE, or a pipe")
    driver = session.open_store()
    resolved = resolve_layer(session, driver, layer_id)
    other = resolve_layer(session, driver, parent) if parent else ""
    with driver.diff(resolved, other) as tar:
        if output != "-":
            with new_file(Path(output)) as file:
                _copy(session, resolved, tar, file, compression)
            return
        session.out.flush()
        try:
            _copy(session, resolved, tar, session.out.stream, compression)
        except OSError as error:
            raise gone_or(error) from error


def _copy(
    session: Session, layer_id: str, tar: BinaryIO, target: BinaryIO, compression: str | None
) -> None:
    source, sink = _descriptor(tar), _descriptor(target)
    size = None if source is None else os.fstat(source).st_size
    with shown(session.progress, f"exporting {layer_id}", size) as progress:

        def moved(count: int) -> None:
            session.cancel.check()
            progress.advance(count)

        if compression is not None:
            _compress(tar, target, compression, moved)
        elif source is not None and sink is not None:
            copy_descriptor(source, sink, moved)
        else:
            while block := tar.read(_BLOCK_SIZE):
                target.write(block)
                moved(len(block))


def _compress(
    tar: BinaryIO, target: BinaryIO, compression: str, moved: Callable[[int], None]
) -> None:
    from winlayers.base.compression import Compression, open_compressor

    with open_compressor(_Whole(target), Compression(compression)) as compressor:
        while block := tar.read(_BLOCK_SIZE):
            compressor.write(block)
            moved(len(block))


class _Whole(RawWriter):
    """A file object that writes all it is given, where a raw file may write less."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target

    def write(self, data: ReadableBuffer, /) -> int:
        descriptor = _descriptor(self._target)
        with memoryview(data).cast("B") as view:
            if descriptor is None:
                self._target.write(view)
            else:
                write_fully(descriptor, view)
            return len(view)


def _descriptor(file: BinaryIO) -> int | None:
    try:
        return file.fileno()
    except (AttributeError, UnsupportedOperation):
        return None
