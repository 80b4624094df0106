from __future__ import annotations

import uuid

import pytest

from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.acl import (
    KNOWN_TYPES,
    OBJECT_TYPES,
    Ace,
    AceFlags,
    AceType,
    Acl,
    build_acl,
    read_acl,
)
from winlayers.formats.cursor import Cursor
from winlayers.formats.sids import SYSTEM, Sid

SID = "010100000000000512000000"
ACE = "00001400ff011f00" + SID
GUID = uuid.UUID("ab721a53-1e2f-11d0-9819-00aa0040529b")
GUID_BYTES = "531a72ab2f1ed011981900aa0040529b"


def acl(body: str, *, revision: int = 2, size: int | None = None, count: int = 1) -> bytes:
    data = bytes.fromhex(body)
    total = 8 + len(data) if size is None else size
    head = bytes([revision, 0]) + total.to_bytes(2, "little") + count.to_bytes(2, "little")
    return head + b"\0\0" + data


def read(data: bytes) -> Acl:
    return read_acl(Cursor(data, "security descriptor"))


def test_ace_is_read_and_written() -> None:
    data = acl(ACE)
    assert read(data) == Acl(2, (Ace(AceType.ACCESS_ALLOWED, mask=0x1F01FF, sid=SYSTEM),))
    assert build_acl(read(data)) == data


def test_acl_without_aces() -> None:
    assert read(acl("", count=0)) == Acl(2, ())
    assert build_acl(Acl()) == bytes.fromhex("0200080000000000")


@pytest.mark.parametrize("revision", [2, 3, 4])
def test_revision_is_kept(revision: int) -> None:
    assert build_acl(read(acl(ACE, revision=revision)))[0] == revision


@pytest.mark.parametrize("ace_type", sorted(KNOWN_TYPES - OBJECT_TYPES))
def test_plain_types_have_mask_sid_and_data(ace_type: AceType) -> None:
    data = acl(f"{ace_type:02x}ff1800" + "01000000" + SID + "61727478")
    (ace,) = read(data).aces
    assert ace == Ace(ace_type, AceFlags(0xFF), mask=1, sid=SYSTEM, application_data=b"artx")
    assert build_acl(read(data)) == data


@pytest.mark.parametrize("ace_type", sorted(OBJECT_TYPES))
@pytest.mark.parametrize("present", [0, 1, 2, 3])
def test_object_types_have_up_to_two_guids(ace_type: AceType, present: int) -> None:
    guids = GUID_BYTES * present.bit_count()
    size = 4 + 4 + 4 + 16 * present.bit_count() + 12
    data = acl(f"{ace_type:02x}00{size:02x}00" + f"01000000{present:02x}000000{guids}{SID}")
    (ace,) = read(data).aces
    assert ace.object_type == (GUID if present & 1 else None)
    assert ace.inherited_object_type == (GUID if present & 2 else None)
    assert ace.object_flags == present
    assert build_acl(read(data)) == data


@pytest.mark.parametrize("ace_type", [0x04, 0x16, 0xFF])
def test_unknown_types_are_kept_raw(ace_type: int) -> None:
    data = acl(f"{ace_type:02x}020c00" + "0102030405060708")
    assert read(data).aces == (Ace(ace_type, AceFlags.CONTAINER_INHERIT, raw=bytes(range(1, 9))),)
    assert build_acl(read(data)) == data


def test_count_decides_and_slack_is_dropped() -> None:
    slack = read(acl(ACE + ACE + "ff" * 8, count=1))
    assert len(slack.aces) == 1
    assert build_acl(slack) == acl(ACE)


def test_acl_of_object_aces_has_revision_4() -> None:
    plain = Ace(AceType.ACCESS_DENIED, sid=SYSTEM)
    assert Acl.of([plain]).revision == 2
    assert Acl.of([plain, Ace(AceType.ACCESS_DENIED_OBJECT, sid=SYSTEM)]).revision == 4


@pytest.mark.parametrize(
    ("data", "reason", "offset"),
    [
        (b"", "ACL revision of 1 bytes", 0),
        (acl("", count=0)[:7], "padding of 2 bytes", 6),
        (acl(ACE, revision=1), "revision 1", 0),
        (acl(ACE, revision=5), "revision 5", 0),
        (acl(ACE, size=7), "ACL of 7 bytes, less", 0),
        (acl(ACE, size=29), "ACL of 29 bytes does not fit", 0),
        (acl(ACE, size=0xFFFF), "ACL of 65535 bytes does not fit", 0),
        (acl(ACE, count=6), "6 ACEs do not fit", 0),
        (acl(ACE, count=0xFFFF), "65535 ACEs do not fit", 0),
        (acl(ACE, count=2), "ACE type of 1 bytes", 28),
        (acl("00000000" + ACE[8:]), "ACE of 0 bytes", 8),
        (acl("00000300" + ACE[8:]), "ACE of 3 bytes", 8),
        (acl("00001600" + ACE[8:] + "0000"), "ACE of 22 bytes, not a multiple of 4", 8),
        (acl("00001800" + ACE[8:]), "ACE of 24 bytes reaches past its ACL", 8),
        (acl("00001000" + ACE[8:]), "ACE of 16 bytes is too small for its SID", 8),
        (acl("00000400"), "ACE mask of 4 bytes", 12),
        (acl("000008000000000001010000"), "SID authority", 18),
        (acl(ACE.replace("0101000000", "0102000000")), "sub-authorities of 8 bytes", 24),
        (acl("05001400" + "0000000003000000" + GUID_BYTES[:16]), "GUID", 20),
    ],
)
def test_lies_about_sizes_and_counts_are_malformed(data: bytes, reason: str, offset: int) -> None:
    with pytest.raises(Malformed, match=reason) as caught:
        read(data)
    assert caught.value.structure == "security descriptor"
    assert caught.value.offset == offset


def test_ace_may_not_end_its_sid_in_the_next_one() -> None:
    first = "00001000ff011f00" + SID[:16]
    with pytest.raises(Malformed, match="too small for its SID") as caught:
        read(acl(first + ACE, count=2))
    assert caught.value.offset == 8


@pytest.mark.parametrize(
    ("ace", "reason"),
    [
        (Ace(AceType.ACCESS_ALLOWED), "needs a SID"),
        (Ace(0x99, sid=SYSTEM), "needs raw bytes"),
        (Ace(AceType.ACCESS_ALLOWED, mask=1 << 32, sid=SYSTEM), "mask"),
        (Ace(256, raw=b""), "ACE type 256"),
        (Ace(AceType.ACCESS_ALLOWED, sid=SYSTEM, application_data=bytes(65600)), "ACE size"),
    ],
)
def test_ace_without_binary_form_is_refused(ace: Ace, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        build_acl(Acl(2, (ace,)))


def test_acl_of_more_than_16_bits_is_refused() -> None:
    ace = Ace(AceType.ACCESS_ALLOWED, sid=Sid(5, (0,) * 15))
    with pytest.raises(InvalidArgument, match="ACL size"):
        build_acl(Acl(2, (ace,) * 1000))


def test_data_of_an_ace_is_padded() -> None:
    built = build_acl(Acl(2, (Ace(AceType.ACCESS_ALLOWED, sid=SYSTEM, application_data=b"a"),)))
    assert built.endswith(b"a\0\0\0")
    assert read(built).aces[0].application_data == b"a\0\0\0"
