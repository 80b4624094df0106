"""Layers that are being made: who sees them, and what is known after a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from winlayers.backends.native._journal import Journal
from winlayers.errors import LayerExists, StoreCorrupt


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


def test_layer_is_named_until_it_is_there(journal: Journal, tmp_path: Path) -> None:
    with journal.claiming("a"):
        assert not journal.names("a")
        journal.begin("a", None)
        assert journal.names("a")
        assert journal.left_over() == ["a"]
        assert journal.files_before("a") is None
        journal.end("a")
        assert not journal.names("a")
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_created_layer_are_remembered(journal: Journal) -> None:
    files = {"layerchain.json": b"null", "layerID": bytes(range(256))}
    with journal.claiming("a"):
        journal.begin("a", files)
    assert journal.files_before("a") == files
    with journal.claiming("a"):
        journal.end("a")


def test_one_makes_a_layer_at_a_time(journal: Journal, tmp_path: Path) -> None:
    with (
        journal.claiming("a"),
        pytest.raises(LayerExists, match="made by another process"),
        Journal(tmp_path).claiming("a"),
    ):
        pass
    with journal.claiming("b"):
        pass


def test_claim_of_what_was_left_over_keeps_the_lock_file(journal: Journal, tmp_path: Path) -> None:
    with journal.claiming("a"):
        journal.begin("a", None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.lock"]
    with journal.claiming("a"):
        journal.end("a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"files": 1}', b'{"files": {"a": "?"}}', b"[" * 100_000]
)
def test_damaged_journal_is_told(journal: Journal, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StoreCorrupt, match=r"a\.json"):
        journal.files_before("a")
