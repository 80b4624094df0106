"""RefCounts: whose holds are forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from winlayers.base import processes
from winlayers.driver.refcount import RefCounts


def test_hold_of_a_process_that_cannot_be_asked_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = RefCounts(tmp_path / "driver.db")
    counts.add("held")

    def refuse(pid: int) -> str:
        raise PermissionError("of another user")

    with monkeypatch.context() as patch:
        patch.setattr(processes, "process_start_time", refuse)
        assert counts.forget_the_dead() == []
        assert len(counts.holders("held")) == 1
    monkeypatch.setattr(processes, "process_start_time", lambda pid: "later")
    assert counts.forget_the_dead() == ["held"]
    assert counts.holders("held") == []
