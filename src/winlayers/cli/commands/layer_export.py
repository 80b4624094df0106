"""``winlayers layer export``: a layer as the tar that was imported, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from winlayers.cli.options import command, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_layer
from winlayers.errors import InvalidArgument

_BLOCK_SIZE = 1 << 20


@command(
    "export",
    examples=[
        "winlayers layer export base -o base.tar",
        "winlayers layer export base --gzip > base.tar.gz",
        "winlayers layer export base | sha256sum     # the diff ID",
    ],
)
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="Where to write; - is standard output."
)
@click.option("--gzip", "compression", flag_value="gzip", help="Compress with gzip.")
@click.option("--zstd", "compression", flag_value="zstd", help="Compress with zstd.")
@pass_session
def run(session: Session, layer_id: str, output: str, compression: str | None) -> None:
    """Write the tar of layer ID."""
    driver = session.open_driver()
    resolved = resolve_layer(session, driver, layer_id)
    if output == "-":
        if session.out.is_terminal:
            raise InvalidArgument("a tar is not for a terminal; use -o FILE or a pipe")
        with driver.diff(resolved) as tar:
            _copy(session, tar.fileno(), compression, session.out.write_bytes)
        return
    target = Path(output)
    staged = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with driver.diff(resolved) as tar, open(staged, "xb", buffering=0) as file:
            _copy(session, tar.fileno(), compression, file.write)
            os.fsync(file.fileno())
        os.replace(staged, target)
    finally:
        staged.unlink(missing_ok=True)


class _Sink:
    """A function that takes bytes, as a file object that takes all it is given."""

    def __init__(self, write: Callable[[memoryview], object]) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        """Pass the bytes on; how many."""
        self._write(memoryview(data))
        return len(data)


def _copy(
    session: Session, source: int, compression: str | None, write: Callable[[memoryview], object]
) -> None:
    from winlayers.base.compression import Compression, open_compressor

    buffer = memoryview(bytearray(_BLOCK_SIZE))
    if compression is None:
        while count := os.readv(source, [buffer]):
            session.cancel.check()
            write(buffer[:count])
        return
    kind = Compression[compression.upper()]
    with open_compressor(_Sink(write), kind) as compressor:  # type: ignore[arg-type]  # only write is used
        while count := os.readv(source, [buffer]):
            session.cancel.check()
            compressor.write(buffer[:count])
