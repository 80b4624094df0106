"""What is made through a tree has the descriptor that the vectors of inheritance tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from winlayers.backends.portable._scratch import PortableScratch, make_scratch
from winlayers.formats.security import Acl, SecurityDescriptor, parse_descriptor
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.tree import Tree

VECTORS = Path(__file__).parents[2] / "vectors" / "data" / "inheritance.json"
#: Without a descriptor given with the creation, as verbs of a tree make things.
CASES = [case for case in json.loads(VECTORS.read_text("utf-8"))["cases"] if not case["explicit"]]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    folder = tmp_path_factory.mktemp("inheritance") / "scratch"
    make_scratch(folder, [], 0, Entry("", EntryKind.DIRECTORY, 0x10))
    with PortableScratch(folder, "s", []) as scratch:
        yield Tree(scratch, clock_ns=lambda: 10**18)


def told(acl: Acl | None) -> list[tuple[int, int, int, str]] | None:
    if acl is None:
        return None
    return [(int(ace.type), int(ace.flags), ace.mask, str(ace.sid)) for ace in acl.aces]


def expected(acl: list[dict[str, Any]] | None, case: dict[str, Any]) -> Any:
    """An ACL of a vector, with the owner and group that a tree gives to what is new."""
    creators = {case["owner"]: "S-1-5-32-544", case["group"]: "S-1-5-18"}
    if acl is None:
        return None
    return [
        (ace["type"], ace["flags"], ace["mask"], creators.get(ace["sid"], ace["sid"]))
        for ace in acl
    ]


def made_in(tree: Tree, name: str, *, is_directory: bool) -> SecurityDescriptor:
    path = f"{name}/child"
    if is_directory:
        tree.mkdir(path)
    else:
        tree.open(path, create=True).close()
    return parse_descriptor(tree.security(path))


def test_there_are_vectors() -> None:
    assert len(CASES) > 40


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_child_has_what_the_vector_tells(tree: Tree, case: dict[str, Any]) -> None:
    tree.mkdir(case["name"])
    tree.set_security(case["name"], bytes.fromhex(case["parent"]))
    child = made_in(tree, case["name"], is_directory=case["is_dir"])
    assert str(child.owner) == "S-1-5-32-544"
    assert str(child.group) == "S-1-5-18"
    assert int(child.control) == case["child"]["control"]
    assert told(child.dacl) == expected(case["child"]["dacl"], case)
    assert told(child.sacl) == expected(case["child"]["sacl"], case)


def test_links_inherit_as_what_they_are(tree: Tree) -> None:
    descriptor = next(case for case in CASES if case["name"] == "creator_owner_oi_file")["parent"]
    tree.mkdir("links")
    tree.set_security("links", bytes.fromhex(descriptor))
    tree.symlink("x", "links/file", is_directory=False)
    tree.symlink("x", "links/directory", is_directory=True)
    tree.junction("/x", "links/junction")
    tree.mkdir("links/plain")
    tree.open("links/plain file", create=True).close()
    assert tree.security("links/file") == tree.security("links/plain file")
    assert tree.security("links/directory") == tree.security("links/plain")
    assert tree.security("links/junction") == tree.security("links/plain")
    assert tree.security("links/file") != tree.security("links/plain")


def test_child_does_not_change_with_its_parent(tree: Tree) -> None:
    first, second = CASES[0], CASES[1]
    tree.mkdir("parent")
    tree.set_security("parent", bytes.fromhex(first["parent"]))
    tree.mkdir("parent/child")
    before = tree.security("parent/child")
    tree.set_security("parent", bytes.fromhex(second["parent"]))
    assert tree.security("parent/child") == before
