"""store info and store check."""

from __future__ import annotations

import hashlib
import shutil

import pytest

from tests.unit.cli.harness import APP, BASE, Shell
from winlayers.backends.checking import STORE_RULES
from winlayers.base._compression_libraries import Library
from winlayers.base.compression import Libraries, libraries
from winlayers.cli.commands import store_info
from winlayers.driver.mounting import MountedLayer, MountTable


def test_info_counts_layers_and_names_libraries(shared: Shell) -> None:
    facts = shared.run("store", "info", "--json").document
    assert facts["layers"] == 2
    assert facts["tar_size"] == len(APP) + len(BASE)
    assert {"inflate", "deflate", "zstd", "sha256", "sqlite"} <= set(facts["libraries"])
    assert facts["libraries"]["zstd"] == str(libraries().zstd)
    lines = shared.run("store", "info").lines
    assert "layers:    2" in lines
    assert f"root:      {shared.root}" in lines


def test_info_of_no_store_makes_none(bare: Shell) -> None:
    assert bare.run("store", "info", "--json").document["layers"] == 0
    assert not bare.root.exists()


def test_info_warns_of_slow_digests(shared: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_info, "_has_openssl", lambda: False)
    assert any(
        line.startswith("warning:   hashlib has no OpenSSL")
        for line in shared.run("store", "info").lines
    )


def test_info_warns_of_missing_libraries(shared: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Library("zlib", "1.3", is_standard=True)
    monkeypatch.setattr(store_info, "libraries", lambda: Libraries(plain, plain, None))
    facts = shared.run("store", "info", "--json").document
    assert facts["libraries"]["inflate"] == "zlib 1.3 (standard library)"
    assert facts["libraries"]["zstd"] == "none"
    assert [text.partition(";")[0] for text in facts["warnings"]] == [
        "gzip is read at half the speed",
        "zstd cannot be read or written",
    ]


def test_info_tells_a_damaged_layer(shell: Shell) -> None:
    (shell.root / "windowsfilter" / "app" / "sealed" / "index.db").unlink()
    result = shell.run("store", "info", "--json", code=3)
    assert result.document["layers"] == 2
    assert "StoreCorrupt" in result.err


def test_check_of_a_sound_store_finds_nothing(shared: Shell) -> None:
    result = shared.run("store", "check", "--deep")
    assert result.lines == []
    assert result.err.endswith("0 findings, 0 repaired\n")


def test_check_repairs_a_damaged_index(shell: Shell) -> None:
    index = shell.root / "windowsfilter" / "base" / "sealed" / "index.db"
    index.write_bytes(b"damaged")
    row = shell.run("store", "check", "--json", code=3).rows[0]
    assert (row["code"], row["layer"], row["repaired"]) == ("index-unreadable", "base", False)
    assert index.read_bytes() == b"damaged"
    row = shell.run("store", "check", "--repair", "--json").rows[0]
    assert (row["code"], row["repaired"]) == ("index-unreadable", True)
    assert shell.run("cat", "app", "/ini").out == b"[fonts]"
    assert shell.run("layer", "export", "base").out == BASE


def test_repair_tells_that_a_pack_without_an_index_is_another(shell: Shell) -> None:
    sealed = shell.root / "windowsfilter" / "base" / "sealed"
    changed = bytearray(BASE)
    changed[BASE.index(b"the license")] ^= 1
    (sealed / "layer.tar").write_bytes(changed)
    (sealed / "index.db").unlink()
    result = shell.run("store", "check", "--repair", code=3)
    assert "pack-digest base" in result.lines[0]
    assert "so that what is left of it can be read" in result.err
    assert shell.run("cat", "base", "/License.txt").out != b""


def test_check_repairs_several_indexes_parents_first(shell: Shell) -> None:
    for layer_id in ("app", "base"):
        (shell.root / "windowsfilter" / layer_id / "sealed" / "index.db").unlink()
    lines = shell.run("store", "check", "--repair").lines
    assert [line.split(":")[0] for line in lines] == [
        "repaired index-missing app",
        "repaired index-missing base",
    ]


def test_check_removes_what_is_left_over_only_when_asked(shell: Shell) -> None:
    layers = shell.root / "windowsfilter"
    shutil.copytree(layers / "app", layers / "gone-removing")
    (shell.root / "tmp" / "app.0123456789abcdef").mkdir()
    codes = [row["code"] for row in shell.run("store", "check", "--json").rows]
    assert codes == ["left-removing", "left-staging"]
    assert (layers / "gone-removing").is_dir()
    shell.run("store", "check", "--repair")
    assert not (layers / "gone-removing").exists()
    assert list((shell.root / "tmp").iterdir()) == []


def test_check_says_what_a_repair_does(shell: Shell) -> None:
    sealed = shell.root / "windowsfilter" / "base" / "sealed"
    (sealed / "index.db").unlink()
    row = shell.run("store", "check", "--json", code=3).rows[0]
    assert row["action"] == "make index and record again from the pack"
    assert row["needs_windows"] is False
    lines = shell.run("store", "check", code=3).lines
    assert lines[2] == "    --repair does: make index and record again from the pack"
    (sealed / "layer.tar").unlink()
    rows = shell.run("store", "check", "--json", code=3).rows
    assert [(row["code"], row["action"]) for row in rows] == [
        ("index-missing", None),
        ("pack-missing", None),
    ]
    assert len(shell.run("store", "check", code=3).lines) == 4


def test_check_finds_what_leads_to_no_layer(shell: Shell) -> None:
    other = shell.root / "windowsfilter" / "app" / "layerID"
    other.write_bytes(b"gone")
    assert shell.run("store", "check", "--json", code=3).rows[0]["code"] == "id-dangling"
    other.write_bytes(b"../base")
    assert shell.run("store", "check", "--json", code=3).rows[0]["code"] == "id-unreadable"


def test_check_finds_a_dead_mount(shell: Shell) -> None:
    dead = MountedLayer("app", shell.root / "mounts" / "app", True, False, 2**22 + 1, "never")
    MountTable(shell.root / "driver.db").add(dead)
    row = shell.run("store", "check", "--json").rows[0]
    assert (row["code"], row["layer"], row["action"]) == ("mount-dead", "app", "take it away")
    assert [one.layer_id for one in MountTable(shell.root / "driver.db").all()] == ["app"]


def test_repair_of_a_store_of_windows_leaves_what_needs_windows(bare: Shell) -> None:
    layers = bare.root / "windowsfilter"
    (layers / "base" / "Files").mkdir(parents=True)
    (layers / "base" / "layerchain.json").write_text("null")
    (layers / "old-removing" / "Files").mkdir(parents=True)
    (bare.root / "winlayers" / "layers" / "gone").mkdir(parents=True)
    MountTable(bare.root / "driver.db").add(
        MountedLayer("s", bare.root / "gone", False, False, 0, "")
    )
    before = sorted(bare.root.rglob("*"))
    lines = bare.run("store", "check").lines
    assert "    --repair on Windows: have Windows remove it" in lines
    assert "    --repair does: remove the ledger" in lines
    assert sorted(bare.root.rglob("*")) == before
    rows = bare.run("store", "check", "--repair", "--json").rows
    assert [(row["code"], row["needs_windows"], row["repaired"]) for row in rows] == [
        ("left-removing", True, False),
        ("ledger-orphaned", False, True),
        ("mount-dead", False, True),
    ]
    assert sorted(path.name for path in layers.iterdir()) == ["base", "old-removing"]


def test_check_cannot_repair_a_damaged_pack(shell: Shell) -> None:
    pack = shell.root / "windowsfilter" / "base" / "sealed" / "layer.tar"
    damaged = bytearray(BASE)
    damaged[BASE.index(b"the license")] ^= 1
    pack.write_bytes(damaged)
    assert shell.run("store", "check").lines == []
    result = shell.run("store", "check", "--deep", "--repair", code=3)
    assert hashlib.sha256(BASE).hexdigest() in result.lines[0]
    assert STORE_RULES["pack-digest"].remedy in result.lines[1]


def test_check_of_no_store_finds_nothing(bare: Shell) -> None:
    assert bare.run("store", "check").lines == []
    assert not bare.root.exists()
