"""The merged view against a model that is worked out from the base up."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.builders import Layer, a_view, layer_tar
from tests.support.model import Shown, key_of, model_of
from tests.support.strategies import layer_stacks, names
from winlayers.backends.memory import HeldEntry
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.laws import Laws
from winlayers.layer.names import fold
from winlayers.layer.view import Node, View, walk

QUICK = settings(derandomize=True, max_examples=150, deadline=None)


def columns(one: Node | Entry) -> tuple[object, ...]:
    return (
        one.kind,
        one.attributes,
        one.creation_filetime,
        one.access_filetime,
        one.write_filetime,
        one.change_filetime,
        one.size,
    )


def check_node(view: View, node: Node, shown: Shown) -> None:
    """Everything that a view says of a node."""
    assert (node.path, node.layer_id) == (shown.path, shown.layer_id)
    assert node.name == shown.path.rpartition("/")[2]
    assert node.folded == fold(node.name)
    assert columns(node) == columns(shown.entry)
    assert replace(view.entry(node), path=shown.entry.path) == shown.entry
    assert columns(view.resolve(node)) == columns(shown.shared)
    assert view.resolve(node).path == node.path
    assert node.is_directory is shown.has_children
    assert bool(view.list(node)) <= shown.has_children
    found = [(part.name, part.size, part.attributes) for part in view.parts(node)]
    assert found == [(part.name, part.size, part.attributes) for part in shown.parts]
    for part in shown.parts:
        with view.open(node, part.name.upper()) as file:
            assert file.read() == part.content


@QUICK
@given(layer_stacks())
def test_drawn_layers_keep_the_laws(stack: list[Layer]) -> None:
    for number in range(len(stack)):
        laws = Laws(
            is_base=number == len(stack) - 1, find_below=a_view(*stack[number + 1 :]).lookup
        )
        for held in stack[number]:
            laws.admit(held.entry)
        laws.finish()
        assert layer_tar(stack[number])


@QUICK
@given(layer_stacks())
def test_walk_shows_the_model_in_folded_order(stack: list[Layer]) -> None:
    view, model = a_view(*stack), model_of(stack)
    nodes = list(walk(view, view.root()))
    assert [key_of(node.path) for node in nodes] == sorted(model)
    for node in nodes:
        check_node(view, node, model[key_of(node.path)])


@QUICK
@given(layer_stacks())
def test_lookup_finds_what_the_model_has_and_nothing_else(stack: list[Layer]) -> None:
    view, model = a_view(*stack), model_of(stack)
    asked = {held.entry.path for layer in stack for held in layer}
    asked |= {f"{path}/a" for path in asked}
    for path in sorted(asked):
        node, shown = view.lookup(fold(path)), model.get(key_of(path))
        assert (node is None) is (shown is None)
        if node is not None and shown is not None:
            check_node(view, node, shown)


@QUICK
@given(layer_stacks(), st.lists(names, max_size=3))
def test_listing_is_the_same_before_and_after_lookups(
    stack: list[Layer], components: list[str]
) -> None:
    cold, warm = a_view(*stack), a_view(*stack)
    for length in range(len(components) + 1):
        warm.lookup("/".join(["Files", *components[:length]]))
    for node in walk(cold, cold.root()):
        listed = [child.path for child in cold.list(node)]
        again = warm.lookup(node.path)
        assert again is not None
        assert [child.path for child in warm.list(again)] == listed


@QUICK
@given(layer_stacks(max_children=1))
def test_layer_alone_shows_its_own_entries(stack: list[Layer]) -> None:
    own: list[HeldEntry] = [h for h in stack[0] if h.entry.kind is not EntryKind.WHITEOUT]
    view = a_view(stack[0])
    nodes = list(walk(view, view.root()))
    assert {node.path for node in nodes} == {held.entry.path for held in own}
    assert all(view.entry(node) is own_entry(own, node) for node in nodes)


def own_entry(own: list[HeldEntry], node: Node) -> Entry:
    return next(held.entry for held in own if held.entry.path == node.path)
