"""Several layers become one, and nothing that shows is lost, the registry above all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.builders import (
    Layer,
    a_directory,
    a_file,
    a_layer,
    a_link,
    a_view,
    a_whiteout,
    an_opaque_whiteout,
    content_at,
    paths_of,
)
from tests.support.hives import a_delta, a_hive, a_key, a_path, dword, no_value, text
from tests.support.hivetrees import told
from tests.support.layeredimages import an_image, copied, tables_of
from winlayers.backends.memory import HeldEntry, HeldPart
from winlayers.errors import InvalidArgument, Unsupported
from winlayers.formats.hive.reader import Hive
from winlayers.layer.entry import EntryKind
from winlayers.layer.names import fold
from winlayers.layer.osbuild import read_os_build
from winlayers.making.image import open_image
from winlayers.making.newlayer import Workbench
from winlayers.making.squashing import SquashedLayers, squash_image

BASE = a_layer(
    a_file("Files/d/keep", b"keep"),
    a_file("Files/d/gone", b"gone"),
    a_file("Files/shared", b"shared"),
    a_file("UtilityVM/Files/vm", b"old"),
)
FIRST = a_layer(
    a_whiteout("Files/d/gone"),
    a_file("Files/d/new", b"first"),
    a_file("Files/temporary"),
    a_directory("Hives"),
)
SECOND = a_layer(
    a_file("Files/d/new", b"second"),
    a_link("Files/other name", "Files/d/new"),
    a_whiteout("Files/temporary"),
    a_directory("Hives"),
    a_file("UtilityVM/Files/vm", b"new"),
)
CHANGE = a_delta(a_key("ROOT", a_key("Software", values=[dword("A", 1)])))
REAL = (Path(__file__).parents[2] / "data/Software_Delta").read_bytes()
NO_CHANGE = a_delta(a_key("ROOT", layer_byte=0x80))


def with_delta(layer: Layer, content: bytes, name: str = "Software_Delta") -> Layer:
    """The layer with a delta of a hive."""
    number = next(n for n, held in enumerate(layer) if held.entry.path == "Hives")
    return [*layer[: number + 1], a_file(f"Hives/{name}", content), *layer[number + 1 :]]


def squashed(layers: list[Layer], first: int, *, lose: bool = False) -> Layer:
    """Layers from ``first`` on, given base first, as one."""
    tables = tables_of(layers)
    count = len(layers) - first
    reader = SquashedLayers(tables[:count], tables[count:], lose_registry_changes=lose)
    held = []
    for entry in reader:
        parts = [
            HeldPart(part.name, part.size, content=reader.open_part(part).read())
            for part in reader.parts()
        ]
        held.append(HeldEntry(entry, tuple(parts)))
    reader.close()
    return held


def test_whiteouts_stay_where_the_layers_below_have_the_name() -> None:
    layer = squashed([BASE, FIRST, SECOND], 1)
    gone = [held.entry.path for held in layer if held.entry.kind is EntryKind.WHITEOUT]
    assert gone == ["Files/d/gone"]
    before, after = a_view(SECOND, FIRST, BASE), a_view(layer, BASE)
    assert paths_of(after) == paths_of(before)
    assert content_at(after, "Files/d/new") == b"second"
    assert content_at(after, "UtilityVM/Files/vm") == b"new"


def test_hard_links_stay_in_a_squash() -> None:
    layer = squashed([BASE, FIRST, SECOND], 1)
    links = [held.entry for held in layer if held.entry.kind is EntryKind.LINK]
    assert [(link.path, link.target) for link in links] == [("Files/other name", "Files/d/new")]


def test_opaque_whiteout_becomes_plain_ones() -> None:
    opaque = a_layer(an_opaque_whiteout("Files/d"), a_file("Files/d/x"))
    layer = squashed([BASE, FIRST, opaque], 1)
    gone = {held.entry.path for held in layer if held.entry.kind is EntryKind.WHITEOUT}
    assert gone == {"Files/d/gone", "Files/d/keep"}


def test_flatten_is_a_base_layer() -> None:
    layer = squashed([BASE, FIRST, SECOND], 0)
    assert all(held.entry.kind is not EntryKind.WHITEOUT for held in layer)
    shown = paths_of(a_view(SECOND, FIRST, BASE))
    # What a child has even if it is empty, no base layer has.
    assert [path for path in shown if path != "Hives"] == paths_of(a_view(layer))
    assert "Hives" in shown


def test_delta_of_one_layer_is_kept_behind_its_folder() -> None:
    layer = squashed([BASE, with_delta(FIRST, CHANGE), with_delta(SECOND, NO_CHANGE)], 1)
    paths = [held.entry.path for held in layer]
    assert paths[paths.index("Hives") :] == [
        "Hives",
        "Hives/Software_Delta",
        "UtilityVM",
        "UtilityVM/Files",
        "UtilityVM/Files/vm",
    ]
    assert layer[paths.index("Hives/Software_Delta")].parts[0].content == CHANGE


def test_deltas_of_two_hives_are_both_kept() -> None:
    layers = [BASE, with_delta(FIRST, CHANGE), with_delta(SECOND, CHANGE, "System_Delta")]
    paths = [held.entry.path for held in squashed(layers, 1)]
    assert [path for path in paths if path.startswith("Hives/")] == [
        "Hives/Software_Delta",
        "Hives/System_Delta",
    ]


def values_of(hive: bytes, path: str) -> dict[str, int | None]:
    """The numbers of a key, None for a value that is marked as deleted."""
    key = Hive.open(hive, fold=fold).root.find(path)
    assert key is not None
    return {one.name: None if one.is_tombstone else one.integer for one in key.values()}


def content_of(layer: Layer, path: str) -> bytes:
    """The data of an entry, whose size is that of the entry."""
    (held,) = [held for held in layer if held.entry.path == path]
    (part,) = [part for part in held.parts if not part.name]
    assert held.entry.size == part.size == len(part.content or b"")
    return part.content or b""


def test_changes_of_one_hive_are_merged() -> None:
    other = a_delta(a_path("Software", values=[no_value("A"), dword("B", 2)]))
    third = a_delta(a_path("Software", values=[dword("B", 3)]))
    layers = [BASE, with_delta(FIRST, CHANGE), with_delta(SECOND, other)]
    layers.append(with_delta(SECOND, third))
    layer = squashed(layers, 1)
    delta = content_of(layer, "Hives/Software_Delta")
    assert values_of(delta, "Software") == {"A": None, "B": 3}
    assert Hive.open(delta, fold=fold).is_layered


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"no hive", "Hives/Software_Delta of layer L1 cannot be merged: registry hive"),
        (a_hive(a_key("ROOT", a_key("x"))), "is no difference to other hives"),
        (
            a_hive(a_key("ROOT", a_key("x")), is_layered=True, sequences=(5, 4)),
            r"was not closed \(sequence numbers 5 and 4\)",
        ),
        (a_delta(a_key("ROOT", a_key("x"), a_key("X"))), "two subkeys 'X'"),
    ],
)
def test_delta_that_cannot_be_merged_is_refused_unless_it_may_be_lost(bad: bytes, why: str) -> None:
    layers = [BASE, with_delta(FIRST, bad), with_delta(SECOND, CHANGE)]
    with pytest.raises(Unsupported, match=why):
        squashed(layers, 1)
    assert content_of(squashed(layers, 1, lose=True), "Hives/Software_Delta") == CHANGE


CONFIG = "Files/Windows/System32/config/SOFTWARE"
OLD_HIVE = a_hive(a_path("Software", values=[dword("A", 0), dword("K", 7)]), sequences=(6, 6))


def with_hive(content: bytes, *more: HeldEntry) -> Layer:
    """The base layer with a SOFTWARE hive."""
    hive = a_file(CONFIG, content, {"stream": b"kept"}, write_filetime=77)
    # What is below UtilityVM comes last.
    return a_layer(*BASE[:-3], hive, *more, *BASE[-3:])


def test_flatten_merges_changes_into_the_hive_of_the_base_layer() -> None:
    base = with_hive(OLD_HIVE, a_file("Hives/Software_Base", OLD_HIVE))
    other = a_delta(a_path("Software", values=[dword("B", 2)]))
    layers = [base, with_delta(FIRST, CHANGE), with_delta(SECOND, other)]
    layer = squashed(layers, 0)
    hive = content_of(layer, CONFIG)
    assert values_of(hive, "Software") == {"A": 1, "K": 7, "B": 2}
    opened = Hive.open(hive, fold=fold)
    assert not opened.is_layered
    assert (opened.base_block.primary_sequence, opened.is_dirty) == (7, False)
    (held,) = [held for held in layer if held.entry.path == CONFIG]
    assert (held.entry.write_filetime, held.parts[1].content) == (77, b"kept")
    assert not any(held.entry.path.startswith("Hives/") for held in layer)
    assert content_of(layer, "Files/d/new") == b"second"


def test_hive_that_is_a_hard_link_gets_its_own_content() -> None:
    base = a_layer(
        a_file("Files/SOFTWARE", OLD_HIVE),
        a_link(CONFIG, "Files/SOFTWARE"),
        a_file("Files/z", b"z"),
    )
    layer = squashed([base, with_delta(FIRST, CHANGE)], 0)
    assert values_of(content_of(layer, CONFIG), "Software") == {"A": 1, "K": 7}
    assert content_of(layer, "Files/SOFTWARE") == OLD_HIVE


@pytest.mark.parametrize(
    ("base", "why"),
    [
        (BASE, f"changes a hive that the base layer has no file for \\({CONFIG}\\)"),
        (with_hive(b""), f"{CONFIG} of layer L0 cannot be merged"),
        (with_hive(CHANGE), "is a difference to other hives"),
        (with_hive(a_hive(a_key("ROOT"), sequences=(2, 1))), "was not closed"),
    ],
)
def test_flatten_is_refused_where_the_base_layer_has_no_hive(base: Layer, why: str) -> None:
    layers = [base, with_delta(FIRST, CHANGE)]
    with pytest.raises(Unsupported, match=why):
        squashed(layers, 0)
    layer = squashed(layers, 0, lose=True)
    assert "Hives/Software_Delta" not in [held.entry.path for held in layer]
    if base is not BASE:
        assert content_of(layer, CONFIG) == content_of(base, CONFIG)


def test_flatten_is_refused_where_the_hive_is_gone_or_not_known() -> None:
    gone = a_layer(a_whiteout(CONFIG), a_directory("Hives"))
    with pytest.raises(Unsupported, match=r"which a hive goes into, is gone"):
        squashed([with_hive(OLD_HIVE), with_delta(gone, CHANGE)], 0)
    with pytest.raises(Unsupported, match="Hives/Other_Delta of layer L1 changes a hive"):
        squashed([BASE, with_delta(FIRST, CHANGE, "Other_Delta")], 0)


def test_squash_and_flatten_tell_the_build_that_the_layers_told() -> None:
    key = "Microsoft\\Windows NT\\CurrentVersion"
    numbers = [dword("CurrentMajorVersionNumber", 10), dword("CurrentMinorVersionNumber", 0)]
    old = a_hive(a_path(key, values=[*numbers, text("CurrentBuild", "20348"), dword("UBR", 1)]))
    updates = [a_delta(a_path(key, values=[dword("UBR", number)])) for number in (2, 3)]
    layers = [with_hive(old), with_delta(FIRST, updates[0]), with_delta(SECOND, updates[1])]
    for made in (layers, [squashed(layers, 0)], [layers[0], squashed(layers, 1)]):
        build = read_os_build(tables_of(made), has_base=True)
        assert build is not None
        assert build.version == "10.0.20348.3"


def test_real_difference_is_merged_into_a_hive(tmp_path: Path) -> None:
    layers = [with_hive(OLD_HIVE), with_delta(FIRST, REAL), with_delta(SECOND, REAL)]
    image = an_image(*layers)
    digests = set()
    for _ in range(2):
        with Workbench(tmp_path) as bench:
            made = squash_image(
                image, tables_of(layers), 0, bench, now_seconds=3, created_by="flatten"
            )
            digests.add(made.manifest.digest)
    assert len(digests) == 1
    hive = Hive.open(content_of(squashed(layers, 0), CONFIG), fold=fold)
    assert len(told(hive.root)) == 2946 - 17 + 1
    assert hive.root.find("microsoft\\windows nt\\currentversion") is not None


def test_flatten_without_a_change_has_no_delta_and_keeps_other_files() -> None:
    base = a_layer(*BASE, a_file("Hives/Software_Base", b"base"))
    layers = [base, with_delta(with_delta(FIRST, NO_CHANGE), b"", "Sam_Delta")]
    paths = [held.entry.path for held in squashed(layers, 0)]
    assert paths[paths.index("Hives") :][:3] == ["Hives", "Hives/Software_Base", "UtilityVM"]


def test_squashed_image_keeps_lower_layers_and_history(tmp_path: Path) -> None:
    layers = [BASE, FIRST, SECOND]
    image = an_image(*layers)
    with Workbench(tmp_path) as bench:
        made = squash_image(
            image, tables_of(layers), 1, bench, now_seconds=3, created_by="squash", comment="all"
        )
        new = open_image(copied(made))
    assert new.manifest.layers[0] == image.manifest.layers[0]
    assert len(new.config.diff_ids) == 2
    assert [step.get("empty_layer", False) for step in new.config.history] == [
        False,
        True,
        True,
        False,
    ]
    assert new.config.history[-1]["comment"] == "all"


def test_flattened_image_has_one_layer_and_the_same_digest_each_time(tmp_path: Path) -> None:
    layers = [BASE, FIRST, SECOND]
    digests = set()
    for _ in range(2):
        with Workbench(tmp_path) as bench:
            made = squash_image(
                an_image(*layers), tables_of(layers), 0, bench, now_seconds=3, created_by="flatten"
            )
            digests.add(made.manifest.digest)
            assert len(open_image(copied(made)).layers) == 1
    assert len(digests) == 1


def test_squash_of_one_layer_is_the_old_image(tmp_path: Path) -> None:
    image = an_image(BASE, FIRST)
    with Workbench(tmp_path) as bench:
        made = squash_image(
            image, tables_of([BASE, FIRST]), 1, bench, now_seconds=3, created_by="x"
        )
    assert made.manifest.raw == image.manifest.raw


@pytest.mark.parametrize(("first", "count"), [(-1, 2), (2, 2), (0, 1)])
def test_layers_that_are_not_there_are_refused(tmp_path: Path, first: int, count: int) -> None:
    image = an_image(BASE, FIRST)
    tables = tables_of([BASE, FIRST][:count])
    with Workbench(tmp_path) as bench, pytest.raises(InvalidArgument):
        squash_image(image, tables, first, bench, now_seconds=3, created_by="x")
