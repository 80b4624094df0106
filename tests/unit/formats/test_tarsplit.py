from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any, BinaryIO

import pytest

from winlayers.errors import DigestMismatch, Malformed, TooLarge, UnknownFeature
from winlayers.formats import tarsplit
from winlayers.formats.crc64 import Crc64
from winlayers.formats.pax import build_records
from winlayers.formats.tar import TarFormat, TarHeader, TarReader, TarWriter
from winlayers.formats.tarsplit import TarFramer, assemble_tar, split_tar


def a_tar(*entries: tuple[bytes, bytes, bytes], tail: bytes = b"") -> bytes:
    """A tar of (name, type, body)."""
    target = io.BytesIO()
    writer = TarWriter(target)
    for name, typeflag, body in entries:
        writer.add(TarHeader(name, typeflag, size=len(body)))
        if typeflag == b"0":
            writer.write(body)
    writer.close()
    return target.getvalue() + tail


def split(tar: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in split_tar(io.BytesIO(tar))]


def assemble(packed: bytes, files: dict[bytes, bytes]) -> bytes:
    return b"".join(assemble_tar(io.BytesIO(packed), lambda name: io.BytesIO(files[name])))


BIG = bytes(range(256)) * 12000
FILES = {b"a": b"hello", b"big": BIG, b"empty": b"", b"link": b""}
TAR = a_tar(
    (b"d", b"5", b""),
    *((name, b"0", body) for name, body in FILES.items() if name != b"link"),
    (b"link", b"2", b"size without a body"),
    tail=b"junk" * 700_000,
)


def test_tar_comes_back_byte_for_byte() -> None:
    packed = b"".join(split_tar(io.BytesIO(TAR)))
    assert assemble(packed, FILES) == TAR


def test_lines_have_the_form_of_the_original() -> None:
    lines = list(split_tar(io.BytesIO(a_tar((b"a", b"0", b"x"), (b"d", b"5", b"")))))
    assert lines[1] == b'{"type":1,"name":"a","size":1,"payload":"IxAAAAAAAAA=","position":1}\n'
    assert lines[3] == b'{"type":1,"name":"d","payload":null,"position":3}\n'
    assert [json.loads(line)["type"] for line in lines] == [2, 1, 2, 1, 2]
    assert len(base64.b64decode(json.loads(lines[2])["payload"])) == 511 + 512


def test_tail_is_framed_in_lines_of_a_mebibyte() -> None:
    lines = split(TAR)
    tail = [line for line in lines[-4:] if line["type"] == 2]
    assert len(tail) == 4
    assert all(len(base64.b64decode(line["payload"])) <= 1 << 20 for line in tail)
    assert [line["position"] for line in lines] == list(range(len(lines)))


def test_size_of_a_type_without_body_has_the_checksum_of_nothing() -> None:
    line = split(a_tar((b"l", b"1", b"12345")))[1]
    assert (line["size"], base64.b64decode(line["payload"])) == (5, bytes(8))


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (b"a<b>&", b'"name":"a\\u003cb\\u003e\\u0026"'),
        ("\u2028\u2029".encode(), b'"name":"\\u2028\\u2029"'),
        ('"\\\n\x01\x7fä😀'.encode(), '"name":"\\"\\\\\\n\\u0001\x7fä😀"'.encode()),
        (b"a\xff\xbe", b'"name_raw":"Yf++"'),
        (b"\xed\xa0\x80", b'"name_raw":"7aCA"'),
    ],
)
def test_names_are_written_as_go_writes_them(name: bytes, field: bytes) -> None:
    tar = a_tar((name, b"0", b"x"))
    packed = b"".join(split_tar(io.BytesIO(tar)))
    assert b'{"type":1,' + field + b',"size":1' in packed
    assert assemble(packed, {name: b"x"}) == tar


def test_entry_without_a_name_has_no_name_field() -> None:
    packed = b"".join(split_tar(io.BytesIO(a_tar((b"", b"0", b"x")))))
    assert b'{"type":1,"size":1' in packed
    assert assemble(packed, {b"": b"x"}) == a_tar((b"", b"0", b"x"))


@pytest.mark.parametrize("second", [b"a", b"a/", b"./a", b"b/../a", b"a//."])
def test_two_names_of_one_file_are_malformed(second: bytes) -> None:
    with pytest.raises(Malformed, match="duplicates"):
        split(a_tar((b"a", b"0", b""), (second, b"5", b"")))


def test_rooted_names_are_others() -> None:
    assert len(split(a_tar((b"a", b"0", b""), (b"/a", b"0", b"")))) == 5
    with pytest.raises(Malformed, match="duplicates"):
        split(a_tar((b"//a", b"0", b""), (b"/a", b"0", b"")))


def test_sparse_entry_cannot_be_framed() -> None:
    records = build_records({b"GNU.sparse.map": b"0,1", b"GNU.sparse.numblocks": b"1"})
    extended = a_tar((b"x", b"0", b"y" * len(records)))[:512]
    block = extended[:148] + b" " * 8 + b"x" + extended[157:]
    block = block[:148] + b"%06o\0 " % sum(block) + block[156:]
    tar = block + records.ljust(512, b"\0") + a_tar((b"s", b"0", b"y"))
    with pytest.raises(UnknownFeature, match="sparse"):
        split(tar)


@pytest.mark.parametrize("size", [512, 600, 1024])
def test_tar_that_ends_inside_a_body_is_malformed(size: int) -> None:
    tar = a_tar((b"a", b"0", b"x" * 4096))[:size]
    with pytest.raises(Malformed):
        split(tar)


def test_headers_without_end_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarsplit, "_SEGMENT_LIMIT", 4 << 20)
    target = io.BytesIO()
    TarWriter(target).add(TarHeader(b"n" * ((1 << 20) - 1), b"0"), format=TarFormat.GNU)
    extension = target.getvalue()[:-512]
    with pytest.raises(TooLarge, match="4 MiB"):
        split(extension * 8)


def test_body_that_changed_is_a_digest_mismatch() -> None:
    tar = a_tar((b"a", b"0", b"x"))
    packed = b"".join(split_tar(io.BytesIO(tar)))
    for body in (b"y", b"", b"xx"):
        with pytest.raises(DigestMismatch, match="content of 'a'"):
            assemble(packed, {b"a": body})


def test_body_that_grew_is_not_read_to_its_end() -> None:
    class Endless(io.RawIOBase):
        count = 0

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1, /) -> bytes:
            assert 0 <= size <= 1 << 20
            self.count += size
            return bytes(size)

    body = Endless()
    packed = b"".join(split_tar(io.BytesIO(a_tar((b"a", b"0", b"xyz")))))
    with pytest.raises(DigestMismatch, match="content of 'a'"):
        b"".join(assemble_tar(io.BytesIO(packed), lambda name: body))  # type: ignore[arg-type,return-value]
    assert body.count == 4


def test_body_that_is_not_had_by_name_is_kept_in_the_frame() -> None:
    body = bytes(range(256)) * 9000
    tar = a_tar((b"odd", b"0", body), (b"a", b"0", b"x"), (b"empty", b"0", b"")) + b"after the end"
    lines: list[bytes] = []
    framer = TarFramer(io.BytesIO(tar), lines.append)
    reader = TarReader(framer)
    for header in reader:
        framer.admit(header, by_name=header.name != b"odd")
    framer.end(reader.offset)
    assert assemble(b"".join(lines), {b"a": b"x"}) == tar
    assert [json.loads(line)["position"] for line in lines] == list(range(len(lines)))


def test_files_are_closed() -> None:
    opened: list[BinaryIO] = []

    def get_file(name: bytes) -> BinaryIO:
        opened.append(io.BytesIO(FILES[name]))
        return opened[-1]

    packed = b"".join(split_tar(io.BytesIO(TAR)))
    assert b"".join(assemble_tar(io.BytesIO(packed), get_file)) == TAR
    assert [file.closed for file in opened] == [True, True, True]


def a_line(**fields: Any) -> bytes:
    return json.dumps({"position": 0, **fields}).encode() + b"\n"


CRC = base64.b64encode(Crc64(b"x").digest()).decode()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\n", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"position":0,"size":' + b"1" * 10_000 + b"}", "not JSON"),
        (b"[]\n", "position 0"),
        (a_line(type=2, payload="", position=1), "position 0"),
        (a_line(type=3, payload=""), "type 3"),
        (a_line(payload=""), "type None"),
        (a_line(type=2, payload=None), "not text"),
        (a_line(type=2, payload="A"), "damaged"),
        (a_line(type=2, payload="A\u00e4=="), "damaged"),
        (a_line(type=2, payload="AA==\n"), "damaged"),
        (a_line(type=1, name=1, payload=CRC, size=1), "name"),
        (a_line(type=1, name_raw=1, payload=CRC, size=1), "not text"),
        (a_line(type=1, name="a", payload=CRC, size=-1), "size -1"),
        (a_line(type=1, name="a", payload=CRC, size=True), "size True"),
        (a_line(type=1, name="a", payload=CRC, size=1.0), "size 1.0"),
        (a_line(type=1, name="a", payload=None, size=1), "not text"),
    ],
)
def test_bad_line_is_malformed(line: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match="tar-split at byte 0") as caught:
        assemble(line, {b"a": b"x"})
    assert reason in caught.value.reason


def test_offset_of_a_bad_line_is_told() -> None:
    first = a_line(type=2, payload="QUJD")
    pieces: list[bytes] = []
    with pytest.raises(Malformed) as caught:
        pieces.extend(assemble_tar(io.BytesIO(first + b"x"), no_file))
    assert caught.value.offset == len(first)
    assert pieces == [b"ABC"]


no_file: Callable[[bytes], BinaryIO] = dict[bytes, BinaryIO]().__getitem__
