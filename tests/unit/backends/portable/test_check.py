"""check_store: each thing that can be wrong with a store, by its code."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.builders import a_file, a_layer, an_import, layer_tar
from winlayers.backends.checking import STORE_RULES, DriverFacts, StoreFinding
from winlayers.backends.portable.backend import PortableBackend
from winlayers.backends.portable.check import CURED_BY_INDEX, check_store
from winlayers.base.locking import FileLock
from winlayers.base.progress import Cancel
from winlayers.driver.metadata import build_layer_chain, read_layer_chain, read_layer_id
from winlayers.errors import Cancelled, DigestMismatch
from winlayers.layer.chain import Chain
from winlayers.layer.findings import Severity

FACTS = DriverFacts(read_layer_chain, read_layer_id)
TAR = layer_tar(a_layer(a_file("Files/a.txt", b"content")))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store of three sealed layers, each on the one before."""
    backend = PortableBackend(tmp_path)
    parents: tuple[str, ...] = ()
    for layer_id in ("one", "two", "three"):
        chain = build_layer_chain(tmp_path / "windowsfilter" / parent for parent in parents)
        files = {"layerchain.json": chain}
        backend.import_tar(an_import(layer_id, TAR, *parents, files=files))
        parents = (layer_id, *parents)
    return tmp_path


def _found(root: Path, *, deep: bool = False) -> list[StoreFinding]:
    return list(check_store(root, FACTS, deep=deep))


def _layer(root: Path, layer_id: str) -> Path:
    return root / "windowsfilter" / layer_id


def _damage_fact(root: Path) -> None:
    with sqlite3.connect(_layer(root, "two") / "sealed" / "index.db") as index:
        index.execute("UPDATE facts SET value = 'nonsense' WHERE key = 'tar_size'")


def _set_schema(root: Path) -> None:
    with sqlite3.connect(_layer(root, "two") / "sealed" / "index.db") as index:
        index.execute("UPDATE facts SET value = '999' WHERE key = 'schema'")


def _damage_page(root: Path) -> None:
    path = _layer(root, "two") / "sealed" / "index.db"
    content = bytearray(path.read_bytes())
    content[4096 : 4096 + 200] = b"\xff" * 200
    path.write_bytes(content)


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (_layer(root, "two") / name).write_bytes(content)

    return damage


def _remove(name: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (_layer(root, "two") / name).unlink()

    return damage


def test_sound_store_has_no_findings(root: Path) -> None:
    assert _found(root, deep=True) == []


def test_no_store_has_no_findings(tmp_path: Path) -> None:
    assert _found(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_remove("sealed/index.db"), "index-missing"),
        (_write("sealed/index.db", b"nonsense"), "index-unreadable"),
        (_write("sealed/index.db", b""), "index-unreadable"),
        (_damage_fact, "index-unreadable"),
        (_damage_page, "index-unreadable"),
        (_set_schema, "index-unreadable"),
        (_remove("sealed/layer.tar"), "pack-missing"),
        (_write("sealed/layer.tar", TAR[:-512]), "pack-size"),
        (_write("layerchain.json", b"{nonsense"), "chain-unreadable"),
        (_write("layerchain.json", b'["/x/none","/x/one"]'), "chain-parent-missing"),
    ],
)
def test_damage_is_found_by_its_code(root: Path, damage: Callable[[Path], None], code: str) -> None:
    damage(root)
    found = [finding for finding in _found(root) if finding.layer_id == "two"]
    assert [finding.code for finding in found] == [code]
    assert found[0].severity is Severity.ERROR
    assert found[0].detail


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_remove("sealed/layer.json"), "record-missing"),
        (_write("sealed/layer.json", b"{nonsense"), "record-unreadable"),
        (_write("sealed/layer.json", b"[1]"), "record-unreadable"),
        (_write("sealed/layer.json", b'{"diff_id": "sha256:00"}'), "record-unreadable"),
        (
            _write(
                "sealed/layer.json",
                b'{"diff_id": "sha256:0", "digest": "", "tar_size": 1, "created_ns": 1}',
            ),
            "record-unreadable",
        ),
    ],
)
def test_damaged_record_is_a_warning_and_made_again(
    root: Path, damage: Callable[[Path], None], code: str
) -> None:
    sound = (_layer(root, "two") / "sealed" / "layer.json").read_bytes()
    damage(root)
    assert [(one.code, one.severity) for one in _found(root, deep=True)] == [
        (code, Severity.WARNING)
    ]
    PortableBackend(root).rebuild_index("two", Chain(("one",)))
    assert _found(root, deep=True) == []
    assert (_layer(root, "two") / "sealed" / "layer.json").read_bytes() == sound


def test_index_made_again_tells_what_the_lost_one_told(root: Path) -> None:
    backend = PortableBackend(root)
    before = backend.usage("two")
    (_layer(root, "two") / "sealed" / "index.db").write_bytes(b"nonsense")
    backend.rebuild_index("two", Chain(("one",)))
    assert backend.usage("two").summary == before.summary
    assert backend.usage("two").created_ns == before.created_ns


@pytest.mark.parametrize("is_index_lost", [True, False])
def test_index_made_of_a_changed_pack_does_not_hide_the_change(
    root: Path, is_index_lost: bool
) -> None:
    sealed = _layer(root, "two") / "sealed"
    changed = bytearray(TAR)
    changed[TAR.index(b"content")] ^= 1
    (sealed / "layer.tar").write_bytes(changed)
    (sealed / ("index.db" if is_index_lost else "layer.json")).unlink()
    backend = PortableBackend(root)
    with pytest.raises(DigestMismatch, match="pack of layer two"):
        backend.rebuild_index("two", Chain(("one",)))
    assert [one.code for one in _found(root, deep=True)] == ["pack-digest"]
    with closing(backend.view("two", Chain())) as view:
        assert view.lookup("Files") is not None


def test_missing_chain_is_a_warning_and_its_child_does_not_fit(root: Path) -> None:
    (_layer(root, "two") / "layerchain.json").unlink()
    assert [(one.layer_id, one.code) for one in _found(root)] == [
        ("three", "chain-inconsistent"),
        ("two", "chain-missing"),
    ]


def test_removed_parent_is_missing_to_all_above(root: Path) -> None:
    PortableBackend(root).destroy("one")
    assert [(one.layer_id, one.code) for one in _found(root)] == [
        ("three", "chain-parent-missing"),
        ("two", "chain-parent-missing"),
    ]


def test_changed_byte_of_a_pack_is_found_by_its_digest(root: Path) -> None:
    changed = bytearray(TAR)
    changed[TAR.index(b"content")] ^= 1
    (_layer(root, "two") / "sealed" / "layer.tar").write_bytes(changed)
    assert _found(root) == []
    assert [(one.layer_id, one.code) for one in _found(root, deep=True)] == [("two", "pack-digest")]


def test_created_layer_that_was_never_filled_is_sound(root: Path) -> None:
    PortableBackend(root).create("empty", Chain(), {"layerchain.json": b"null"})
    assert _found(root) == []


def test_what_is_no_layer_is_a_warning(root: Path) -> None:
    (_layer(root, "notes")).mkdir()
    (_layer(root, "readme.txt")).write_bytes(b"text")
    assert [(one.layer_id, one.code) for one in _found(root)] == [
        ("notes", "layer-foreign"),
        ("readme.txt", "layer-foreign"),
    ]


def test_leftovers_are_warnings_unless_somebody_works_in_them(root: Path) -> None:
    (_layer(root, "gone-removing")).mkdir()
    (root / "tmp" / "new.0123456789abcdef").mkdir()
    (root / "tmp" / "somebody's").mkdir()
    busy = root / "tmp" / "busy.0123456789abcdef"
    busy.mkdir()
    with FileLock(busy.with_name(busy.name + ".lock")):
        found = _found(root)
    assert [(one.code, one.path.name) for one in found] == [
        ("left-removing", "gone-removing"),
        ("left-staging", "new.0123456789abcdef"),
    ]
    assert {one.severity for one in found} == {Severity.WARNING}


def test_check_changes_nothing(root: Path) -> None:
    (_layer(root, "gone-removing")).mkdir()
    before = sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))
    assert len(_found(root, deep=True)) == 1
    assert sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*")) == before


def test_cancel_stops_it(root: Path) -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        list(check_store(root, FACTS, cancel=cancel))


def test_every_rule_tells_cause_and_remedy() -> None:
    assert set(STORE_RULES) >= CURED_BY_INDEX
    assert all(rule.title and rule.cause and rule.remedy for rule in STORE_RULES.values())


def _scratch(root: Path) -> Path:
    """A scratch on the three layers, with one written file; its folder."""
    backend = PortableBackend(root)
    chain = Chain(("three", "two", "one"))
    folders = [root / "windowsfilter" / layer_id for layer_id in chain]
    files = {"layerchain.json": build_layer_chain(folders)}
    backend.create_scratch("s", chain, 0, files)
    with backend.scratch("s", chain) as scratch:
        node = scratch.lookup("Files/a.txt")
        assert node is not None
        with scratch.open_content(node, writable=True) as content:
            content.write_at(0, b"new")
    return _layer(root, "s") / "scratch"


def _damage_scratch(folder: Path) -> None:
    content = bytearray((folder / "scratch.db").read_bytes())
    content[4096:8192] = b"\xff" * 4096
    (folder / "scratch.db").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda folder: (folder / "scratch.db").write_bytes(b"nonsense"), "scratch-unreadable"),
        (_damage_scratch, "scratch-unreadable"),
        (lambda folder: (folder / "data" / "1").unlink(), "scratch-data-missing"),
    ],
)
def test_damaged_scratch_is_found(root: Path, damage: Callable[[Path], object], code: str) -> None:
    folder = _scratch(root)
    assert _found(root) == []
    damage(folder)
    assert [(one.layer_id, one.code) for one in _found(root)] == [("s", code)]
