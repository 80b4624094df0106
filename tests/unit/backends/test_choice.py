"""Which backend a store gets, by what lies in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from winlayers.backends.choice import choose_backend
from winlayers.errors import IllegalState


@pytest.mark.parametrize(
    ("place", "made_by"),
    [
        ("windowsfilter/x/sealed", "portable"),
        ("windowsfilter/x/scratch", "portable"),
        ("windowsfilter/x/Files", "native"),
        ("windowsfilter/x-removing/sandbox.vhdx", "native"),
        ("winlayers/making", "native"),  # and nothing but half a layer, perhaps
        ("windowsfilter/created", "portable"),
        ("elsewhere", "portable"),
    ],
)
def test_store_keeps_its_backend(tmp_path: Path, place: str, made_by: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    assert choose_backend("auto", tmp_path) == made_by
    assert choose_backend(made_by, tmp_path) == made_by


def test_other_backend_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ours/windowsfilter/x/sealed").mkdir(parents=True)
    (tmp_path / "docker/windowsfilter/x/Files").mkdir(parents=True)
    with pytest.raises(IllegalState, match="made by the portable backend"):
        choose_backend("native", tmp_path / "ours")
    with pytest.raises(IllegalState, match="store attach"):
        choose_backend("portable", tmp_path / "docker")
