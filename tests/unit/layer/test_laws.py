from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.breaches import BREACHES, PARENT
from tests.support.builders import (
    Layer,
    a_directory,
    a_file,
    a_layer,
    a_link,
    a_view,
    a_whiteout,
    an_opaque_whiteout,
)
from winlayers.backends.memory import HeldEntry
from winlayers.errors import Malformed
from winlayers.layer.laws import Laws, is_opaque_marker
from winlayers.layer.view import Node

FILES = a_directory("Files")


def keep(layer: Layer, *, is_base: bool = False, lenient_names: bool = False) -> None:
    """Have the laws look at a layer, on PARENT unless it is a base."""
    find: Callable[[str], Node | None] = (a_view() if is_base else a_view(PARENT)).lookup
    laws = Laws(is_base=is_base, find_below=find, lenient_names=lenient_names)
    for held in layer:
        laws.admit(held.entry)
        for part in held.parts:
            laws.admit_part(held.entry, part)
    laws.finish()


def test_lawful_layer_passes() -> None:
    layer = a_layer(
        a_file("Files/a", b"x", {"s": b"1", "t": b"2", "\x05SummaryInformation": b""}),
        a_directory("Files/d", {"s": b"1"}),
        an_opaque_whiteout("Files/d"),
        a_whiteout("Files/d/gone"),
        a_link("Files/l", "Files/A"),
        a_link("Files/m", "Files/l"),
        a_link("Files/n", "Files/low"),
        a_whiteout("Files/lowdir"),
        a_file("Hives/System_Delta"),
        a_whiteout("UtilityVM/Files/x"),
        a_whiteout("UtilityVM/Files/.wh.x"),
        a_link("UtilityVM/Files/l", "Files/low"),
    )
    keep(layer)


def test_link_may_lead_to_what_the_layer_removes() -> None:
    keep([FILES, a_whiteout("Files/low"), a_link("Files/l", "Files/low")])


def test_base_layer_passes() -> None:
    keep(a_layer(a_file("Files/a"), a_link("Files/b", "Files/a")), is_base=True)


#: What only a caller of the writer can do, because no tar says it.
ONLY_HERE: list[tuple[str, Layer]] = [
    ("name-traversal", [FILES, a_file("Files//x")]),
    ("name-nul", [FILES, a_file("Files/a\0")]),
    ("whiteout-outside", [a_whiteout("Files")]),
    ("whiteout-invalid", [FILES, a_whiteout("Files/")]),
    ("whiteout-invalid", [FILES, a_whiteout("Files/..")]),
    ("name-character", [FILES, a_file("Files/a:b")]),
    ("name-traversal", [FILES, a_file("Files/..")]),
    ("name-character", [FILES, a_file("Files/a", b"", {"s:t": b""})]),
]


def test_file_cannot_be_called_as_a_whiteout_is() -> None:
    with pytest.raises(Malformed, match="called as a whiteout") as caught:
        keep([FILES, a_file("Files/.wh.a")])
    assert caught.value.entry == "Files/.wh.a"


@pytest.mark.parametrize(("code", "layer"), [*BREACHES, *ONLY_HERE])
def test_breach_is_malformed_and_names_its_finding(code: str, layer: Layer) -> None:
    with pytest.raises(Malformed) as caught:
        keep(layer)
    assert caught.value.finding == code
    assert caught.value.entry in {held.entry.path for held in layer}


@pytest.mark.parametrize("held", [a_whiteout("Files/a"), an_opaque_whiteout("Files")])
def test_whiteout_in_base_layer_is_malformed(held: HeldEntry) -> None:
    with pytest.raises(Malformed) as caught:
        keep([FILES, held], is_base=True)
    assert caught.value.finding == "whiteout-in-base"


def test_link_without_target_in_base_layer_is_malformed() -> None:
    with pytest.raises(Malformed, match=r"in the layer \[") as caught:
        keep([FILES, a_link("Files/l", "Files/low")], is_base=True)
    assert caught.value.finding == "link-target-missing"


def test_path_too_long_is_malformed() -> None:
    names = [f"{'d' * 250}" for _ in range(132)]
    path = "Files"
    layer = [FILES]
    for name in names:
        path += f"/{name}"
        layer.append(a_directory(path))
    with pytest.raises(Malformed, match="32767") as caught:
        keep(layer)
    assert caught.value.finding == "name-too-long"


@pytest.mark.parametrize("name", ["a:b", "nul", "dot.", "tab\t", "blank "])
def test_lenient_names_pass_when_asked(name: str) -> None:
    keep([FILES, a_file(f"Files/{name}")], lenient_names=True)


@pytest.mark.parametrize("name", ["..", "a\0", "a" * 256])
def test_impossible_names_never_pass(name: str) -> None:
    with pytest.raises(Malformed):
        keep([FILES, a_file(f"Files/{name}")], lenient_names=True)


def test_directory_with_data_is_malformed() -> None:
    held = HeldEntry(a_directory("Files").entry, a_file("Files/x").parts)
    with pytest.raises(Malformed, match="directory with data"):
        keep([held])


def test_only_the_last_name_makes_an_opaque_marker() -> None:
    assert is_opaque_marker("Files/d/.wh..opq")
    assert not is_opaque_marker("Files/d/x.wh..opq")
    assert not is_opaque_marker(".wh..opq")
