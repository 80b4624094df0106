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
from tests.support.hives import a_delta, a_key, dword
from tests.support.layeredimages import an_image, copied, tables_of
from winlayers.backends.memory import HeldEntry, HeldPart
from winlayers.errors import InvalidArgument, Unsupported
from winlayers.layer.entry import EntryKind
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
    assert paths_of(a_view(layer)) == paths_of(a_view(SECOND, FIRST, BASE))


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


def test_two_changes_of_one_hive_are_refused_unless_they_may_be_lost() -> None:
    other = a_delta(a_key("ROOT", a_key("Other")))
    layers = [BASE, with_delta(FIRST, CHANGE), with_delta(SECOND, other)]
    with pytest.raises(Unsupported, match="L2, L1 all change the registry"):
        squashed(layers, 1)
    layer = squashed(layers, 1, lose=True)
    (delta,) = [held for held in layer if held.entry.path == "Hives/Software_Delta"]
    assert delta.parts[0].content == other


def test_delta_that_cannot_be_read_counts() -> None:
    layers = [BASE, with_delta(FIRST, b"no hive"), with_delta(SECOND, CHANGE)]
    with pytest.raises(Unsupported, match="all change the registry"):
        squashed(layers, 1)


def test_flatten_with_a_change_of_the_registry_is_refused_unless_it_may_be_lost() -> None:
    layers = [BASE, with_delta(FIRST, CHANGE)]
    with pytest.raises(Unsupported, match="a base layer cannot hold"):
        squashed(layers, 0)
    paths = [held.entry.path for held in squashed(layers, 0, lose=True)]
    assert "Hives/Software_Delta" not in paths


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
