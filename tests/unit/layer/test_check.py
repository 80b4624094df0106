"""One layer for each thing that ``check_layer`` finds, and layers in which it finds nothing."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import xor
from pathlib import Path

import pytest

from tests.support.builders import (
    Layer,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_reparse_point,
    a_symlink,
    a_table,
    a_whiteout,
    an_opaque_whiteout,
    layer_tar,
)
from winlayers.backends.memory import HeldEntry, HeldPart
from winlayers.backends.portable.loose import open_loose
from winlayers.formats.ea import NEED_EA, ExtendedAttribute, build_ea_list
from winlayers.formats.filetime import GO_ZERO_TIME_FILETIME
from winlayers.formats.hive.cells import parse_base_block
from winlayers.formats.reparse import (
    TAG_AF_UNIX,
    TAG_LX_SYMLINK,
    TAG_WOF,
    MountPoint,
    SymbolicLink,
    build_reparse,
    link_to,
)
from winlayers.formats.sddl import parse_sddl
from winlayers.formats.security import Control, SecurityDescriptor, build_descriptor
from winlayers.layer.check import bounded, check_layer, guess_is_base
from winlayers.layer.checks.builds import check_build
from winlayers.layer.findings import CATALOG, Finding

DATA = Path(__file__).parents[2] / "data"
_SEQUENCES, _CHECKSUM = 4, 508


def a_hive(*, sequences: tuple[int, int] = (7, 7)) -> bytes:
    """A base block of a hive, and nothing behind it."""
    block = bytearray(4096)
    block[:4] = b"regf"
    struct.pack_into("<II", block, _SEQUENCES, *sequences)
    struct.pack_into("<II", block, 20, 1, 5)
    numbers = struct.unpack_from("<127I", block)
    struct.pack_into("<I", block, _CHECKSUM, reduce(xor, numbers))
    return bytes(block)


CONFIG = "Files/Windows/System32/config/"
HIVES = [
    a_file(CONFIG + name, a_hive()) for name in ["DEFAULT", "SAM", "SECURITY", "SOFTWARE", "SYSTEM"]
]
BCD = "UtilityVM/Files/EFI/Microsoft/Boot/BCD"
EMPTY_HIVES = a_directory("Hives")


def a_base(*held: HeldEntry) -> Layer:
    """A base layer without faults, and more in it."""
    return a_layer(*HIVES, *held)


def a_child(*held: HeldEntry) -> Layer:
    """A layer with parents without faults, and more in it."""
    return a_layer(a_directory("Files"), EMPTY_HIVES, *held)


def codes(layer: Layer, *, is_base: bool = False, parents: Sequence[Layer] = ()) -> set[str]:
    """The codes that are found in a layer."""
    return {finding.code for finding in found(layer, is_base=is_base, parents=parents)}


def found(layer: Layer, *, is_base: bool = False, parents: Sequence[Layer] = ()) -> list[Finding]:
    """The findings of a layer."""
    tables = [a_table(f"L{number}", one) for number, one in enumerate(parents)]
    return list(check_layer(a_table("top", layer), is_base=is_base, parents=tables))


def an_ea(name: bytes = b"A", value: bytes = b"v", flags: int = 0) -> bytes:
    return build_ea_list([ExtendedAttribute(name, value, flags)])


def with_security(sddl: str) -> HeldEntry:
    return a_file("Files/a", security=build_descriptor(parse_sddl(sddl)))


def a_deep_file(depth: int) -> HeldEntry:
    return a_file("Files" + "/d" * (depth - 1) + "/f")


def a_named_junction(path: str, substitute_name: str, print_name: str) -> HeldEntry:
    buffer = build_reparse(MountPoint(substitute_name, print_name))
    return a_directory(path, attributes=0x410, reparse=buffer)


def a_raw_symlink(path: str, substitute_name: str) -> HeldEntry:
    """A link that is neither relative nor has the prefix of an absolute one."""
    buffer = build_reparse(SymbolicLink(substitute_name, substitute_name))
    return a_file(path, attributes=0x420, reparse=buffer)


def a_sparse_stream(path: str) -> HeldEntry:
    held = a_file(path, b"data", {"s": b"\0"})
    data, stream = held.parts
    return HeldEntry(held.entry, (data, HeldPart("s", 1, 8, content=stream.content)))


def a_sized_file(path: str, size: int) -> HeldEntry:
    """A file of any size, without its content."""
    return HeldEntry(replace(a_file(path).entry, size=size))


NULL_DACL = build_descriptor(
    SecurityDescriptor(
        Control.SELF_RELATIVE | Control.DACL_PRESENT,
        owner=parse_sddl("O:SY").owner,
        group=parse_sddl("G:SY").group,
    )
)
A_BASE = a_base(
    a_file("Files/low"),
    a_directory("Files/lowdir"),
    a_file("Files/lowdir/x"),
    a_file("Files/lowdir/y"),
    a_file(BCD, a_hive()),
)


@dataclass(frozen=True)
class Case:
    """A layer with one fault.

    Attributes:
        code: what is found.
        layer: where.
        is_base: it has no parents.
        parents: what it stands on; empty where that is not at hand.
        also: codes that are found with it, because one thing has two faults.
    """

    code: str
    layer: Layer
    is_base: bool = False
    parents: tuple[Layer, ...] = ()
    also: frozenset[str] = field(default=frozenset())


def in_base(code: str, *held: HeldEntry, also: Sequence[str] = ()) -> Case:
    return Case(code, a_base(*held), is_base=True, also=frozenset(also))


def in_child(code: str, *held: HeldEntry, also: Sequence[str] = ()) -> Case:
    return Case(code, a_child(*held), parents=(A_BASE,), also=frozenset(also))


CASES = [
    # the layer as a whole
    Case("tops-missing", []),
    Case("tops-missing", [a_directory("UtilityVM")], also=frozenset({"utilityvm-in-child"})),
    Case("files-missing", [EMPTY_HIVES]),
    Case("hives-missing", [a_directory("Files")]),
    in_base("hives-in-base", EMPTY_HIVES),
    Case("layer-linux", [a_directory("usr"), a_directory("etc")]),
    Case("layer-image", [a_directory("blobs"), a_file("oci-layout"), a_file("index.json")]),
    Case("layer-transport", [a_file("tombstones.txt"), a_directory("Files")]),
    Case("layer-transport", [a_directory("Files"), a_file("Files.$wcidirs$")]),
    Case("layer-cim", [a_file("layer.cim"), a_file("region_00000000_0")]),
    Case("layer-vhd", [a_file("blank.vhdx")]),
    Case("tops-missing", [a_directory("usr")]),
    in_child("layer-vhd", a_file("sandbox.vhdx")),
    Case("files-prefix-missing", [a_directory("Program Files"), a_directory("Windows")]),
    # hives
    Case(
        "hive-config-missing",
        a_layer(*HIVES[:4]),
        is_base=True,
    ),
    Case("hive-config-missing", a_layer(*HIVES[:4], a_directory(CONFIG + "SYSTEM")), is_base=True),
    Case("hive-empty", a_layer(*HIVES[:4], a_file(CONFIG + "system")), is_base=True),
    Case("hive-invalid", a_layer(*HIVES[:4], a_file(CONFIG + "SYSTEM", b"text")), is_base=True),
    in_child("hive-invalid", a_file("Hives/System_Delta", b"regf")),
    in_child("hive-invalid", a_file("Hives/System_Delta", a_hive()[:508] + bytes(3588))),
    in_child("hive-invalid", a_file("Hives/System_Delta", b"regf" + bytes(4092))),
    in_child("hive-invalid", a_directory("Hives/System_Delta")),
    Case(
        "hive-invalid",
        a_layer(*HIVES[:4], a_link(CONFIG + "SYSTEM", "Files/gone")),
        is_base=True,
        also=frozenset({"link-across-layers"}),
    ),
    in_child("hive-empty", a_file("Hives/System_Delta")),
    in_child("hive-dirty", a_file("Hives/sam_delta", a_hive(sequences=(8, 7)))),
    Case(
        "hive-dirty",
        a_layer(*HIVES[:4], a_file(CONFIG + "SYSTEM", a_hive(sequences=(8, 7)))),
        is_base=True,
    ),
    in_child("hive-unknown", a_file("Hives/System_Base", a_hive())),
    in_child("hive-misplaced", HIVES[0]),
    # the utility VM
    in_base("utilityvm-files-missing", a_directory("UtilityVM")),
    in_base("utilityvm-ignored", a_file("UtilityVM/SystemTemplate.vhdx"), a_file(BCD, a_hive())),
    in_child("utilityvm-outside", a_file("UtilityVM/x"), also=["utilityvm-in-child"]),
    in_child("utilityvm-in-child", a_directory("UtilityVM")),
    in_base("bcd-missing", a_directory("UtilityVM/Files/EFI")),
    in_base("bcd-invalid", a_file(BCD, b"text")),
    in_base("bcd-invalid", a_file(BCD)),
    in_base("bcd-invalid", a_directory(BCD)),
    in_base("name-case", a_file("UtilityVM/Files/efi/Microsoft/Boot/BCD", a_hive())),
    in_base("name-case", a_directory("UtilityVM/files"), also=["utilityvm-files-missing"]),
    # names and sizes
    in_child("path-long", a_file("Files/" + "d" * 200 + "/" + "f" * 60)),
    in_child("tree-deep", a_deep_file(128)),
    in_child("name-wcidirs", a_file("Files/a.$wcidirs$")),
    in_child("recycle-bin", a_directory("Files/$Recycle.Bin")),
    in_child("artefact", a_directory("Files/WcSandboxState")),
    in_child("size-8gib", a_sized_file("Files/a", 8 << 30)),
    # security
    in_child("security-missing", a_file("Files/a", security=b"")),
    in_base("security-missing", a_file(BCD, a_hive(), security=b"")),
    in_child("utilityvm-in-child", a_file("UtilityVM/Files/a", security=b"")),
    Case(
        "security-not-repeated",
        a_child(a_directory("Files/lowdir", security=b"")),
        parents=(A_BASE,),
    ),
    in_child("security-invalid", a_file("Files/a", security=b"\1")),
    in_child("security-no-owner", with_security("D:(A;;FA;;;SY)")),
    in_child("security-no-dacl", with_security("O:BAG:BA")),
    in_child("security-null-dacl", a_file("Files/a", security=NULL_DACL)),
    in_child("security-owner-users", with_security("O:BUG:BUD:(A;;FA;;;SY)")),
    # times and attributes
    in_child("time-unset", a_file("Files/a", creation_filetime=0)),
    in_child("time-unset", a_file("Files/a", change_filetime=2**64 - 1)),
    in_child("time-refused", a_file("Files/a", write_filetime=2**63)),
    in_child("time-1754", a_file("Files/a", access_filetime=GO_ZERO_TIME_FILETIME)),
    in_child("reparse-missing", a_file("Files/a", attributes=0x420)),
    in_child("attributes-refused", a_directory("Files/a", attributes=0x110)),
    in_child("attributes-unknown", a_file("Files/a", attributes=0x80000020)),
    in_child("attributes-offline", a_file("Files/a", attributes=0x401020)),
    in_child("attributes-not-applied", a_file("Files/a", attributes=0x820)),
    # streams and extended attributes
    in_child("stream-lost", a_directory("Files/a", {"s": b"x"})),
    in_child("stream-lost", a_file("Files/a", b"", {"s": b"x"})),
    in_child("stream-sparse", a_sparse_stream("Files/a")),
    in_child("ea-lost", a_file("Files/a", ea=an_ea(flags=NEED_EA))),
    in_child("ea-lost", a_file("Files/a", ea=build_ea_list([ExtendedAttribute(b"A", b"1")] * 2))),
    in_child("ea-too-large", a_file("Files/a", ea=an_ea(value=bytes(65535)))),
    in_child("ea-name", a_file("Files/a", ea=an_ea(b"a*"))),
    in_child("ea-name", a_file("Files/a", ea=an_ea(b"a" * 255))),
    in_child("ea-name", a_file("Files/a", ea=an_ea(b""))),
    in_child("ea-invalid", a_file("Files/a", ea=b"\1\2\3")),
    # reparse points
    in_child("reparse-invalid", a_file("Files/a", reparse=b"\x0c\0\0\xa0\4\0\0\0")),
    in_child("reparse-dropped", a_reparse_point("Files/a", TAG_WOF)),
    in_child("reparse-wsl", a_reparse_point("Files/a", TAG_LX_SYMLINK)),
    in_child("reparse-unsupported", a_reparse_point("Files/a", TAG_AF_UNIX)),
    in_child("junction-empty", a_named_junction("Files/a", "", "")),
    in_child("junction-print-name", a_named_junction("Files/a", "\\??\\C:\\lowdir", "")),
    in_child(
        "junction-on-file",
        a_file(
            "Files/a", attributes=0x420, reparse=build_reparse(link_to("C:\\low", junction=True))
        ),
    ),
    in_child("link-elsewhere", a_symlink("Files/a", "D:\\x")),
    in_child("link-elsewhere", a_symlink("Files/a", "\\\\server\\share")),
    in_child("link-elsewhere", a_junction("Files/a", "\\\\?\\Volume{1}\\")),
    in_child("link-elsewhere", a_raw_symlink("Files/a", "D:\\x")),
    in_child("link-elsewhere", a_raw_symlink("Files/a", "\\\\server\\share")),
    in_child("link-elsewhere", a_named_junction("Files/a", "\\\\server\\share", "x")),
    in_child("link-dangling", a_symlink("Files/a", "gone")),
    in_child("link-dangling", a_raw_symlink("Files/a", "C:\\gone")),
    in_child("link-dangling", a_symlink("Files/a", "a")),
    in_child("link-dangling", a_junction("Files/a", "C:\\gone")),
    in_base("link-dangling", a_symlink("Files/a", "..\\..\\gone")),
    in_child("link-kind", a_symlink("Files/a", "lowdir")),
    in_child("link-kind", a_symlink("Files/a", "C:\\low", is_directory=True)),
    in_child("link-kind", a_junction("Files/a", "C:\\low")),
    in_child("link-files-prefix", a_symlink("Files/a", "Files\\low")),
    in_child("link-with-data", HeldEntry(replace(a_symlink("Files/a", "low").entry, size=4))),
    # hard links
    in_child("link-across-layers", a_link("Files/a", "Files/low")),
    in_child(
        "link-too-many",
        a_file("Files/a"),
        *(a_link(f"Files/a{number}", "Files/a") for number in range(1024)),
    ),
    # whiteouts
    in_child("whiteout-nothing", a_whiteout("Files/gone")),
    in_child("whiteout-utilityvm", a_whiteout("UtilityVM/Files/gone"), also=["utilityvm-in-child"]),
    in_child("opaque-ignored", an_opaque_whiteout("Files/lowdir")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_fault_is_found(case: Case) -> None:
    assert codes(case.layer, is_base=case.is_base, parents=case.parents) == {case.code, *case.also}


@pytest.mark.parametrize(
    ("layer", "is_base"),
    [
        (A_BASE, True),
        (a_base(a_file(CONFIG + "system.log1", b"log"), a_directory("Files/Users")), True),
        (a_child(), False),
        (a_child(a_file("Hives/Software_Delta", a_hive())), False),
        (a_child(a_symlink("Files/a", "low"), a_junction("Files/b", "C:\\lowdir")), False),
        (a_child(a_symlink("Files/d/a", "..\\lowdir\\x")), False),
        (a_child(a_raw_symlink("Files/a", "C:\\low"), a_raw_symlink("Files/b", "\\low")), False),
        (a_child(a_file("Hives/Software_Delta", a_hive(), security=b"")), False),
        ([a_directory("Files", security=b""), EMPTY_HIVES], False),
        (a_child(a_whiteout("Files/low"), a_whiteout("Files/lowdir")), False),
        (a_child(an_opaque_whiteout("Files/new")), False),
        (a_child(a_directory("elsewhere")), False),
        (a_child(a_file("Files/a", b"x", {"s": b"x"}, ea=an_ea())), False),
        (a_child(a_file("Files/" + "d" * 200 + "/" + "f" * 54)), False),
        (a_child(a_file("Files/a"), a_link("Files/b", "Files/a", attributes=0x420)), False),
        (a_child(a_deep_file(127)), False),
    ],
)
def test_good_layer_has_no_findings(layer: Layer, is_base: bool) -> None:
    assert found(layer, is_base=is_base, parents=() if is_base else (A_BASE,)) == []


def test_parents_not_at_hand_leave_questions_open() -> None:
    layer = a_child(
        a_whiteout("Files/gone"), a_symlink("Files/a", "gone"), an_opaque_whiteout("Files/d")
    )
    assert codes(layer) == set()


def test_folder_needs_its_rights_only_where_the_parents_give_none() -> None:
    bare = a_base(a_directory("Files/d", security=b""))
    assert codes(a_child(a_directory("Files/d", security=b"")), parents=[bare]) == set()
    file = a_base(a_file("Files/d"))
    for parent in (file, a_base()):
        layer = a_child(a_directory("Files/d", security=b""))
        assert codes(layer, parents=[parent]) == {"security-missing"}


def test_link_into_other_layer_is_followed_through_the_chain() -> None:
    middle = a_child(a_symlink("Files/mid", "lowdir", is_directory=True))
    top = a_child(a_symlink("Files/a", "mid\\x"), a_symlink("Files/b", "mid\\z"))
    assert [one.entry for one in found(top, parents=(middle, A_BASE))] == ["Files/b"]


def test_opaque_whiteout_of_what_is_removed_by_name_is_not_reported() -> None:
    layer = a_child(
        an_opaque_whiteout("Files/lowdir"),
        a_file("Files/lowdir/X"),
        a_whiteout("Files/lowdir/y"),
    )
    assert codes(layer, parents=(A_BASE,)) == set()


def test_hive_with_its_log_is_not_dirty() -> None:
    dirty = a_file(CONFIG + "SYSTEM", a_hive(sequences=(8, 7)))
    layer = a_layer(*HIVES[:4], dirty, a_file(CONFIG + "SYSTEM.LOG1", b"log"))
    assert codes(layer, is_base=True) == set()


def test_real_hives_are_taken() -> None:
    delta = (DATA / "Software_Delta").read_bytes()
    assert codes(a_child(a_file("Hives/Software_Delta", delta))) == set()
    bcd = (DATA / "minimal_BCD").read_bytes()
    assert codes(a_base(a_file(BCD, bcd)), is_base=True) == set()
    software = (DATA / "Software_plain_small").read_bytes()
    assert not parse_base_block(software[:4096]).is_dirty


def test_finding_tells_layer_and_entry() -> None:
    (finding,) = found(a_child(a_whiteout("Files/gone")), parents=(A_BASE,))
    assert (finding.layer_id, finding.entry) == ("top", "Files/gone")
    assert str(finding) == "warning whiteout-nothing: Files/gone: none of the parents has it"


def test_many_findings_of_one_code_are_counted() -> None:
    layer = a_child(*(a_whiteout(f"Files/gone{number:03}") for number in range(150)))
    findings = found(layer, parents=(A_BASE,))
    assert len(findings) == 101
    assert findings[-1] == Finding("whiteout-nothing", "", "and 50 more", "top")


def test_bounded_keeps_the_order_of_codes() -> None:
    given = [
        Finding(code, str(number), "") for number in range(3) for code in ("time-unset", "artefact")
    ]
    assert [(one.code, one.entry) for one in bounded(given, 1)] == [
        ("time-unset", "0"),
        ("artefact", "0"),
        ("time-unset", ""),
        ("artefact", ""),
    ]


def test_known_findings_come_first() -> None:
    known = [Finding("time-range", "Files/a", "d")]
    layer = a_child(a_file("Files/a", attributes=0x820))
    findings = check_layer(a_table("top", layer), is_base=False, known=known)
    assert [one.code for one in findings] == ["time-range", "attributes-not-applied"]


def test_one_finding_explains_a_layer_of_linux() -> None:
    known = [Finding("root-unknown", f"usr/{number}", "d") for number in range(9)]
    table = a_table("top", [a_directory("usr"), a_directory("etc"), a_sized_file("usr/a", 1 << 40)])
    findings = list(check_layer(table, is_base=False, known=known))
    assert findings == [Finding("layer-linux", "", "has 'etc', 'usr' at the top", "top")]


@pytest.mark.parametrize(
    ("layer", "is_base"),
    [
        (A_BASE, True),
        (a_layer(a_directory("Files/Windows/System32")), True),
        (a_child(), False),
        (a_child(a_directory("Files/Windows/System32")), False),
        ([a_directory("Files")], False),
    ],
)
def test_base_is_guessed(layer: Layer, is_base: bool) -> None:
    assert guess_is_base(a_table("top", layer)) is is_base


@pytest.mark.parametrize(
    ("image", "host", "code"),
    [
        (17763, 17763, None),
        (14393, 17763, "build-older"),
        (20348, 17763, "build-newer"),
        (20348, 20348, None),
        (17763, 20348, "build-older"),
        (20348, 22621, None),
        (22621, 22621, None),
        (20348, 26100, None),
        (26100, 26100, None),
        (20348, 26200, "build-older"),
        (26100, 26200, None),
        (26100, 20348, "build-newer"),
    ],
)
def test_builds_that_go_together(image: int, host: int, code: str | None) -> None:
    finding = check_build(image, host)
    assert (finding and finding.code) == code


def test_build_of_host_is_compared() -> None:
    table = a_table("top", a_child())
    findings = check_layer(table, is_base=False, image_build=26100, host_build=20348)
    assert [one.code for one in findings] == ["build-newer"]
    assert list(check_layer(table, is_base=False, image_build=1, host_build=1)) == []


# -- the causes that users meet under one opaque error (0x3, 0x20, 0x57, …) ---------------------------


def from_tar(tar: bytes, path: Path) -> set[str]:
    """The codes found in a bare layer tar."""
    path.write_bytes(tar)
    with open_loose(path) as loose:
        table = loose.table
        return {
            one.code
            for one in check_layer(table, is_base=guess_is_base(table), known=table.findings())
        }


@pytest.mark.parametrize(
    ("code", "layer"),
    [
        # moby/moby#32838: builders that do not write the folders on the way
        ("parent-missing", [a_directory("Files"), EMPTY_HIVES, a_file("Files/a/b")]),
        # google/go-containerregistry#1909: Files twice
        ("name-duplicate", [a_directory("Files"), EMPTY_HIVES, a_directory("Files")]),
        # moby/moby#41058, microsoft/hcsshim#835: links of WSL, made by Cygwin
        ("reparse-wsl", a_child(a_reparse_point("Files/cygwin/dev/fd", TAG_LX_SYMLINK))),
        # microsoft/Windows-Containers#493: hard link into the base
        ("link-across-layers", a_child(a_link("Files/a", "Files/low"))),
        # buildpacks/imgutil#64: no valid BCD
        ("bcd-invalid", a_base(a_file(BCD))),
        # microsoft/hcsshim#2380: ProcessBaseImage without the hives
        ("hive-config-missing", a_layer(a_directory("Files/Windows/System32"))),
        # moby/moby#37026: reparse points of deduplication
        ("reparse-dropped", a_child(a_reparse_point("Files/a", 0x80000013))),
        # microsoft/go-winio#340, moby/moby#52819: junction without a print name
        ("junction-empty", a_child(a_named_junction("Files/j", "", ""))),
        ("junction-print-name", a_child(a_named_junction("Files/j", "\\??\\C:\\x", ""))),
        # containers/buildah#4010: no Files in the names
        ("files-prefix-missing", [a_directory("Windows"), a_file("Windows/a")]),
        ("whiteout-and-entry", a_child(a_file("Files/a"), a_whiteout("Files/A"))),
        ("whiteout-opaque", a_child(a_directory("Files/d"), an_opaque_whiteout("Files/d"))),
        ("name-trailing", a_child(a_file("Files/a."))),
        ("name-reserved", a_child(a_file("Files/aux.c"))),
        ("name-character", a_child(a_file("Files/a?b"))),
        ("parent-not-directory", a_child(a_file("Files/a"), a_file("Files/a/b"))),
        ("link-to-self", a_child(a_link("Files/a", "Files/A"))),
        ("link-outside", a_child(a_link("Files/a", "Hives/b"))),
    ],
)
def test_cause_of_an_opaque_error_is_found_in_the_tar(
    code: str, layer: Layer, tmp_path: Path
) -> None:
    assert code in from_tar(layer_tar(layer), tmp_path / "layer.tar")


def test_folder_without_an_entry_is_not_looked_at(tmp_path: Path) -> None:
    tar = layer_tar([a_directory("Files"), EMPTY_HIVES, a_file("Files/a/b")])
    assert from_tar(tar, tmp_path / "layer.tar") == {"parent-missing"}


def test_file_that_old_tar_libraries_cannot_read_is_found() -> None:
    # microsoft/Windows-Containers#43: 0x3
    assert codes(a_child(a_sized_file("Files/a", (8 << 30) + 1))) == {"size-8gib"}
    assert codes(a_child(a_sized_file("Files/a", (8 << 30) - 1))) == set()


def test_layer_of_another_build_is_found() -> None:
    # microsoft/hcsshim#2553: ActivateLayer 0x20
    finding = check_build(26100, 20348)
    assert finding is not None
    assert "0x20" in finding.rule.cause


def test_all_codes_found_are_in_the_catalog() -> None:
    assert {case.code for case in CASES} <= set(CATALOG)
