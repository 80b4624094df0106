"""Changes as a difference: put on the old model they give the new one, and none is too many."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.builders import Layer, a_table, a_view
from tests.support.model import Model, Shown, key_of, model_of, remove_tree
from tests.support.strategies import layer_stacks
from winlayers.formats.ea import parse_ea_list
from winlayers.layer.changes import Change, ChangeKind, changes
from winlayers.layer.entry import FILE_ATTRIBUTE_REPARSE_POINT, EntryKind
from winlayers.layer.merge import MergedView
from winlayers.layer.names import fold

QUICK = settings(derandomize=True, max_examples=150, deadline=None)


def meaning(shown: Shown) -> tuple[object, ...]:
    """All of a name that a change would tell."""
    attributes = shown.shared.attributes & ~FILE_ATTRIBUTE_REPARSE_POINT
    ea = sorted((a.name, a.value, a.flags) for a in parse_ea_list(shown.shared.ea))
    shared = replace(
        shown.shared, path="", access_filetime=0, attributes=attributes, ea=b"", target=""
    )
    group = fold(shown.entry.target) if shown.entry.kind is EntryKind.LINK else ""
    parts = {fold(part.name): part.content for part in shown.parts}
    return shown.path.rpartition("/")[2], shared, ea, group, parts


def applied(old: Model, new: Model, found: list[Change]) -> Model:
    """The old model with the changes made to it."""
    model = dict(old)
    for change in found:
        key = key_of(change.path)
        if change.kind is ChangeKind.DELETED:
            assert key in model
            remove_tree(model, key)
            continue
        assert (key in model) is (change.kind is ChangeKind.MODIFIED)
        if not new[key].has_children:
            remove_tree(model, key)
        model[key] = new[key]
    return model


def check(old: Model, new: Model, found: list[Change]) -> None:
    after = applied(old, new, found)
    assert {key: meaning(one) for key, one in after.items()} == {
        key: meaning(one) for key, one in new.items()
    }
    for change in found:
        key = key_of(change.path)
        if change.kind is ChangeKind.MODIFIED:
            assert meaning(old[key]) != meaning(new[key])
            assert change.path == new[key].path
        elif change.kind is ChangeKind.ADDED:
            assert key not in old
        else:
            assert key not in new
    keys = [key_of(change.path) for change in found]
    assert keys == sorted(set(keys))


@QUICK
@given(layer_stacks())
def test_changes_of_a_layer_make_its_parents_the_layer(stack: list[Layer]) -> None:
    old, new = stack[1:], stack
    check(model_of(old), model_of(new), list(changes(a_view(*old), a_view(*new))))


@QUICK
@given(layer_stacks(max_children=1), layer_stacks(max_children=1))
def test_changes_between_strangers_make_one_the_other(
    first: list[Layer], second: list[Layer]
) -> None:
    old = a_view(*first)
    new = MergedView([a_table(f"other{n}", layer) for n, layer in enumerate(second)])
    check(model_of(first), model_of(second), list(changes(old, new)))


@QUICK
@given(layer_stacks(max_children=1))
def test_same_layers_under_other_ids_do_not_differ(stack: list[Layer]) -> None:
    again = MergedView([a_table(f"copy{n}", layer) for n, layer in enumerate(stack)])
    assert list(changes(a_view(*stack), again, compare_access_time=True)) == []


@QUICK
@given(layer_stacks(), st.integers(0, 3))
def test_changes_back_undo_the_changes(stack: list[Layer], depth: int) -> None:
    old = stack[min(depth, len(stack)) :]
    check(model_of(stack), model_of(old), list(changes(a_view(*stack), a_view(*old))))
