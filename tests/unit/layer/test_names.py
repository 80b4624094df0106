from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from winlayers.errors import InvalidName
from winlayers.layer.names import (
    LENIENT_FAULTS,
    UPCASE,
    decode_name,
    encode_name,
    fault_of_component,
    fold,
    is_device,
    is_plain,
    long_path,
    split_tar_name,
    split_user_path,
)

DATA = Path(__file__).parents[2] / "data"
UPCASE_SHA256 = "41c26bc7a12bdaeb26025c93118697c7e3ef81ee048b00fe5cce2a472e0e0742"


def test_upper_case_table_is_that_of_windows() -> None:
    table = struct.pack("<65536H", *(UPCASE.get(unit, unit) for unit in range(0x10000)))
    assert hashlib.sha256(table).hexdigest() == UPCASE_SHA256
    assert len(UPCASE) == 973


def test_upper_case_runs_are_those_of_the_data_file() -> None:
    mapped = {}
    for line in (DATA / "upcase_runs.tsv").read_text().splitlines():
        if line.startswith("#"):
            continue
        first, last, stride, delta = line.split("\t")
        for unit in range(int(first, 16), int(last, 16) + 1, int(stride)):
            mapped[unit] = unit + int(delta)
    assert mapped == UPCASE


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("Windows", "WINDOWS"),
        ("straße", "STRAßE"),
        ("ÿ", "Ÿ"),
        ("ı", "ı"),  # str.upper() makes it I
        ("ſ", "ſ"),
        ("ǆ", "Ǆ"),
        ("ǅ", "ǅ"),
        ("ᾀ", "ᾈ"),
        ("ﬁ", "ﬁ"),
        ("𐐨", "𐐨"),  # outside the BMP nothing is mapped
        ("\ud800a", "\ud800A"),
        ("e\u0301", "E\u0301"),  # never normalised
    ],
)
def test_names_fold_as_ntfs_compares_them(name: str, folded: str) -> None:
    assert fold(name) == folded
    assert fold(folded) == folded


def test_folding_agrees_for_ascii_with_the_table() -> None:
    text = "".join(map(chr, range(128)))
    assert fold(text) == text.translate(UPCASE)


@pytest.mark.parametrize(
    "name", ["CON", "con.txt", "nul  .a.b", "Com1", "LPT³", "conin$", "com0.", "aux "]
)
def test_devices_are_known_with_any_extension(name: str) -> None:
    assert is_device(name)


@pytest.mark.parametrize("name", ["CONSOLE", "COM", "COM10", "LPT", "xCON", "a.con", "CLOCK$"])
def test_names_near_devices_are_none(name: str) -> None:
    assert not is_device(name)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("a\0b", "name-nul"),
        ("", "name-traversal"),
        (".", "name-traversal"),
        ("..", "name-traversal"),
        ("a/b", "name-character"),
        ("a\\b", "name-character"),
        ("a" * 256, "name-too-long"),
        ("😀" * 128, "name-too-long"),
        ("a:b", "name-character"),
        ("what?", "name-character"),
        ("tab\t", "name-character"),
        ("x\x1f", "name-character"),
        ("dot.", "name-trailing"),
        ("blank ", "name-trailing"),
        ("NUL.txt", "name-reserved"),
    ],
)
def test_fault_of_a_component_has_its_code(name: str, code: str) -> None:
    fault = fault_of_component(name)
    assert fault is not None
    assert fault[0] == code
    assert not is_plain(name, fold(name))


@pytest.mark.parametrize(
    "name", ["a", "win.ini", " leading", ".hidden", "...a", "a" * 255, "ünï", "\ud800", "[x]", "$"]
)
def test_good_component_has_no_fault(name: str) -> None:
    assert fault_of_component(name) is None


def test_plain_names_are_a_part_of_the_good_ones() -> None:
    assert is_plain("kernel32.dll", "KERNEL32.DLL")
    assert not is_plain("a" * 255, "A" * 255)  # good, but left to the slow way


def test_what_cannot_exist_is_no_lenient_fault() -> None:
    assert not LENIENT_FAULTS & {"name-nul", "name-traversal", "name-too-long", "name-encoding"}


@pytest.mark.parametrize(
    ("raw", "components"),
    [
        (b"Files/Windows/win.ini", ("Files", "Windows", "win.ini")),
        (b"Files/", ("Files",)),
        (b"./Files//a/./b", ("Files", "a", "b")),
        (b"Files\\a", ("Files", "a")),
        (b"", ()),
        (b"./", ()),
        (b"Files/\xed\xa0\x80", ("Files", "\ud800")),
        (b"Files/a:b", ("Files", "a:b")),
        (b"1:", ("1:",)),
    ],
)
def test_tar_name_is_split(raw: bytes, components: tuple[str, ...]) -> None:
    assert split_tar_name(raw) == components


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"/Files/a", "name-traversal"),
        (b"\\Files", "name-traversal"),
        (b"\\\\server\\share", "name-traversal"),
        (b"\\\\?\\C:\\x", "name-traversal"),
        (b"C:/x", "name-traversal"),
        (b"c:", "name-traversal"),
        (b"Files/../x", "name-traversal"),
        (b"Files\\..\\x", "name-traversal"),
        (b"..", "name-traversal"),
        (b"Files/\xff", "name-encoding"),
        (b"Files/" + b"a/" * 16400, "name-too-long"),
    ],
)
def test_tar_name_that_leads_out_is_invalid(raw: bytes, code: str) -> None:
    with pytest.raises(InvalidName) as caught:
        split_tar_name(raw)
    assert caught.value.finding == code


def test_names_go_to_bytes_and_back() -> None:
    for name in ("a", "ü", "😀", "\udfff", "Files/\ud800x"):
        assert decode_name(encode_name(name)) == name


@pytest.mark.parametrize(
    ("text", "components"),
    [
        ("", ()),
        ("/", ()),
        ("C:\\Windows\\win.ini", ("Windows", "win.ini")),
        ("c:/windows/WIN.INI", ("windows", "WIN.INI")),
        ("Windows//a/./b/", ("Windows", "a", "b")),
        ("a/../b", ("b",)),
        ("\\\\?\\C:\\x", ("x",)),
        ("//./c:/x", ("x",)),
    ],
)
def test_user_path_is_split(text: str, components: tuple[str, ...]) -> None:
    assert split_user_path(text) == components


@pytest.mark.parametrize("text", ["..", "a/../../b", "D:\\x", "\\\\?\\E:\\x"])
def test_user_path_outside_the_layer_is_invalid(text: str) -> None:
    with pytest.raises(InvalidName):
        split_user_path(text)


@pytest.mark.parametrize(
    ("nt_path", "long"),
    [
        ("C:\\a", "\\\\?\\C:\\a"),
        ("\\\\server\\share\\a", "\\\\?\\UNC\\server\\share\\a"),
        ("\\\\?\\C:\\a", "\\\\?\\C:\\a"),
        ("\\\\.\\pipe\\x", "\\\\.\\pipe\\x"),
    ],
)
def test_long_path_gets_its_prefix_once(nt_path: str, long: str) -> None:
    assert long_path(nt_path) == long
