"""Layers that are put together show what they showed before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.builders import Layer, a_table, a_view
from tests.support.model import Model, model_of
from tests.support.strategies import layer_stacks
from winlayers.backends.memory import HeldEntry, HeldPart
from winlayers.formats.ea import parse_ea_list
from winlayers.layer.entry import EntryKind
from winlayers.layer.laws import Laws
from winlayers.layer.names import CONTENT_PREFIXES
from winlayers.making.squashing import SquashedLayers


def squashed(layers: Sequence[Layer], count: int) -> Layer:
    """One layer of the nearest ones; it keeps the laws."""
    tables = [a_table(f"L{len(layers) - n}", layer) for n, layer in enumerate(layers, 1)]
    below = a_view(*layers[count:])
    laws = Laws(is_base=count == len(layers), find_below=below.lookup)
    reader = SquashedLayers(tables[:count], tables[count:])
    held = []
    for entry in reader:
        laws.admit(entry)
        parts = []
        for part in reader.parts():
            laws.admit_part(entry, part)
            content = reader.open_part(part).read()
            parts.append(HeldPart(part.name, part.size, part.attributes, content=content))
        held.append(HeldEntry(entry, tuple(parts)))
    laws.finish()
    reader.close()
    return held


def told(model: Model) -> dict[str, Any]:
    """All that shows of the two volumes, but the times that no difference counts."""
    return {
        shown.path: (
            shown.entry.kind is EntryKind.DIRECTORY,
            shown.shared.attributes & ~0x400,
            shown.shared.creation_filetime,
            shown.shared.write_filetime,
            shown.shared.size,
            shown.shared.security,
            sorted((one.name, one.value, one.flags) for one in parse_ea_list(shown.shared.ea)),
            shown.shared.reparse,
            sorted((part.name, part.content) for part in shown.parts),
        )
        for shown in model.values()
        if shown.path.startswith(CONTENT_PREFIXES)
    }


@settings(max_examples=60, derandomize=True, deadline=None)
@given(layer_stacks(), st.integers(1, 4))
def test_squash_shows_what_the_layers_showed(layers: list[Layer], count: int) -> None:
    count = min(count, len(layers))
    layer = squashed(layers, count)
    assert told(model_of([layer, *layers[count:]])) == told(model_of(layers))


@settings(max_examples=40, derandomize=True, deadline=None)
@given(layer_stacks())
def test_flatten_has_no_whiteouts_and_is_the_same_again(layers: list[Layer]) -> None:
    layer = squashed(layers, len(layers))
    assert all(held.entry.kind is not EntryKind.WHITEOUT for held in layer)
    assert told(model_of([layer])) == told(model_of(layers))
    assert squashed([layer], 1) == layer
