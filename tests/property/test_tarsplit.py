"""Laws of tar-split: any tar that it frames comes back, and no line does harm."""

from __future__ import annotations

import io
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.errors import Malformed, WinlayersError
from winlayers.formats.tar import TarReader
from winlayers.formats.tarsplit import assemble_tar, split_tar

GO_TAR = (Path(__file__).parents[1] / "data" / "go_headers.tar").read_bytes()
PACKED = b"".join(split_tar(io.BytesIO(GO_TAR)))
LAW = settings(derandomize=True, max_examples=150, deadline=None)


@LAW
@given(
    where=st.lists(st.tuples(st.integers(0, len(GO_TAR) - 1), st.integers(0, 255)), max_size=5),
    tail=st.binary(max_size=700),
    cut=st.integers(0, 2000),
)
def test_whatever_is_framed_comes_back(where: list[tuple[int, int]], tail: bytes, cut: int) -> None:
    mutable = bytearray(GO_TAR)
    for at, value in where:
        mutable[at] = value
    tar = bytes(mutable[: len(mutable) - cut]) + tail
    try:
        packed = b"".join(split_tar(io.BytesIO(tar)))
    except WinlayersError:
        return
    reader = TarReader(io.BytesIO(tar))
    bodies = {header.name: reader.read() for header in reader}
    back = assemble_tar(io.BytesIO(packed), lambda name: io.BytesIO(bodies[name]))
    assert b"".join(back) == tar


@LAW
@given(st.integers(0, len(PACKED) - 1), st.binary(max_size=6), st.integers(0, 6))
def test_damaged_lines_are_refused_or_give_bytes(at: int, new: bytes, gone: int) -> None:
    packed = PACKED[:at] + new + PACKED[at + gone :]
    try:
        pieces = list(assemble_tar(io.BytesIO(packed), lambda _: io.BytesIO(b"hello")))
    except WinlayersError:
        return
    assert all(isinstance(piece, bytes) for piece in pieces)


@LAW
@given(st.binary(max_size=300))
def test_noise_is_malformed(noise: bytes) -> None:
    try:
        pieces = list(assemble_tar(io.BytesIO(noise), lambda _: io.BytesIO()))
    except Malformed:
        return
    assert (noise, pieces) == (b"", [])
