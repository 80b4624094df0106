from __future__ import annotations

import pytest

from winlayers.errors import InvalidArgument, Malformed
from winlayers.formats.cursor import Cursor
from winlayers.formats.sids import ALIASES, DOMAIN_ALIASES, Sid, name_of, read_sid

ADMINISTRATORS = bytes.fromhex("01020000000000052000000020020000")


def test_sid_has_its_authority_big_endian() -> None:
    sid = Sid.parse(ADMINISTRATORS)
    assert sid == Sid(5, (32, 544))
    assert str(sid) == "S-1-5-32-544"
    assert sid.build() == ADMINISTRATORS


@pytest.mark.parametrize(
    ("sid", "text"),
    [
        (Sid(0, (0,)), "S-1-0-0"),
        (Sid(0xFFFFFFFF, (1,)), "S-1-4294967295-1"),
        (Sid(1 << 32, (7,)), "S-1-0x000100000000-7"),
        (Sid(5, tuple(range(15))), "S-1-5-" + "-".join(map(str, range(15)))),
        (Sid(16, (0xFFFFFFFF,)), "S-1-16-4294967295"),
    ],
)
def test_text_goes_there_and_back(sid: Sid, text: str) -> None:
    assert str(sid) == text
    assert Sid.from_text(text) == sid
    assert Sid.parse(sid.build()) == sid


def test_sid_without_sub_authorities_has_bytes_but_no_text_to_read() -> None:
    sid = Sid.parse(bytes.fromhex("0100000000000005"))
    assert sid == Sid(5, ())
    assert str(sid) == "S-1-5"
    with pytest.raises(Malformed):
        Sid.from_text("S-1-5")


@pytest.mark.parametrize(
    ("text", "sid"),
    [
        ("S-1-0x5-0x20-0x220", Sid(5, (32, 544))),
        ("s-1-5-18", Sid(5, (18,))),
        ("S-1-281474976710655-1", Sid((1 << 48) - 1, (1,))),
    ],
)
def test_other_spellings_are_read(text: str, sid: Sid) -> None:
    assert Sid.from_text(text) == sid


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "form"),
        ("BA", "form"),
        ("S-1-5-", "form"),
        ("S-1--5", "form"),
        ("S-2-5-18", "form"),
        ("S-1-5-18 ", "form"),
        ("S-1-5-x", "form"),
        ("S-1-5-٣", "form"),
        ("S-1-5-" + "9" * 5000, "form"),
        ("S-1-281474976710656-1", "48 bits"),
        ("S-1-0x1000000000000-1", "48 bits"),
        ("S-1-5-4294967296", "32 bits"),
        ("S-1-5" + "-1" * 16, "16 sub-authorities"),
    ],
)
def test_text_that_is_no_sid_is_malformed(text: str, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        Sid.from_text(text)


@pytest.mark.parametrize(
    ("data", "reason", "offset"),
    [
        ("", "SID revision of 1 bytes", 0),
        ("0101000000", "authority", 2),
        ("0201000000000005", "revision 2", 0),
        ("0110000000000005" + "00000000" * 16, "16 sub-authorities", 0),
        ("01ff000000000005" + "00000000" * 255, "255 sub-authorities", 0),
        ("0102000000000005" + "20000000", "sub-authorities of 8 bytes", 8),
        ("0101000000000005" + "12000000" + "00", "1 bytes after the end", 12),
    ],
)
def test_damaged_sid_is_malformed(data: str, reason: str, offset: int) -> None:
    with pytest.raises(Malformed, match=reason) as caught:
        Sid.parse(bytes.fromhex(data))
    assert caught.value.structure == "SID"
    assert caught.value.offset == offset


def test_read_sid_leaves_the_cursor_behind_it() -> None:
    cursor = Cursor(b"\xaa" + ADMINISTRATORS + b"\xbb", "thing", at=1)
    assert read_sid(cursor) == Sid(5, (32, 544))
    assert cursor.take(1) == b"\xbb"


@pytest.mark.parametrize(
    ("authority", "numbers"),
    [(-1, ()), (1 << 48, ()), (5, (1 << 32,)), (5, (-1,)), (5, (0,) * 16)],
)
def test_impossible_sid_is_refused(authority: int, numbers: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument):
        Sid(authority, numbers)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("S-1-1-0", "Everyone"),
        ("S-1-5-32-544", "BUILTIN\\Administrators"),
        (
            "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
            "NT SERVICE\\TrustedInstaller",
        ),
        ("S-1-5-93-2-1", "User Manager\\ContainerAdministrator"),
        ("S-1-5-93-2-2", "User Manager\\ContainerUser"),
        ("S-1-5-83-0", "NT VIRTUAL MACHINE\\Virtual Machines"),
        ("S-1-5-21-1-2-3-513", "Domain Users"),
        ("S-1-5-21-1-2-3-1001", None),
        ("S-1-5-21-1-2-513", None),
        ("S-1-5-22-1-2-3-513", None),
        ("S-1-6-21-1-2-3-513", None),
    ],
)
def test_names_of_sids(text: str, name: str | None) -> None:
    assert name_of(Sid.from_text(text)) == name


def test_every_alias_has_a_name_and_stands_for_one_sid() -> None:
    assert all(name_of(sid) for sid in ALIASES.values())
    assert all(name_of(Sid(5, (21, 1, 2, 3, rid))) for rid in DOMAIN_ALIASES.values())
    assert len(set(ALIASES.values())) == len(ALIASES) == 49
    assert len(set(DOMAIN_ALIASES.values())) == len(DOMAIN_ALIASES) == 17
    assert not ALIASES.keys() & DOMAIN_ALIASES.keys()
