"""Codes of errors, and how the service begins and ends."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from tests.support.containerd import Stand
from winlayers import errors
from winlayers.errors import InUse, WinlayersError
from winlayers.services.containerd.server import ContainerdServer, code_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SnapshotNotFound("x"), "NOT_FOUND"),
        (errors.BlobNotFound("x"), "NOT_FOUND"),
        (errors.ParentMissing("x"), "NOT_FOUND"),
        (errors.SnapshotExists("x"), "ALREADY_EXISTS"),
        (errors.LayerExists("x"), "ALREADY_EXISTS"),
        (errors.SnapshotHasChildren("x"), "FAILED_PRECONDITION"),
        (errors.IllegalState("x"), "FAILED_PRECONDITION"),
        (errors.LayerMounted("x"), "FAILED_PRECONDITION"),
        (errors.DigestMismatch("x", expected="a", actual="b"), "DATA_LOSS"),
        (errors.StoreCorrupt("x"), "DATA_LOSS"),
        (errors.NoSpace("x"), "RESOURCE_EXHAUSTED"),
        (errors.TooLarge("x"), "RESOURCE_EXHAUSTED"),
        (errors.InvalidName("x"), "INVALID_ARGUMENT"),
        (errors.Malformed("tar", "x"), "INVALID_ARGUMENT"),
        (errors.Cancelled("x"), "CANCELLED"),
        (errors.TimedOut("x"), "DEADLINE_EXCEEDED"),
        (errors.StoreLocked("x"), "UNAVAILABLE"),
        (errors.RemoteFailure("x"), "UNAVAILABLE"),
        (errors.UnknownFeature("x"), "UNIMPLEMENTED"),
        (errors.PrivilegeMissing("x"), "PERMISSION_DENIED"),
        (WinlayersError("x"), "INTERNAL"),
        (OSError(5, "x"), "INTERNAL"),
        (ValueError("x"), "INTERNAL"),
    ],
)
def test_errors_have_codes(error: Exception, code: str) -> None:
    assert code_of(error) == grpc.StatusCode[code].value[0]


def test_each_kind_has_the_code_of_the_table() -> None:
    for kind, codes in errors.KINDS.items():
        error = kind.__new__(kind)
        assert code_of(error) == codes.grpc, kind


def test_calls_are_observed(stand: Stand) -> None:
    stand.client.call("Prepare", key="a")
    stand.client.refused("Stat", key="none")
    assert stand.client.list("name==a")[0].name == "a"
    stand.restart()  # a stream is observed when it has ended
    assert stand.observed == [("Prepare", ""), ("Stat", "SnapshotNotFound"), ("List", "")]


def test_fault_of_ours_is_told_and_logged(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(key: str) -> None:
        raise ZeroDivisionError("at \x00")

    monkeypatch.setattr(stand.snapshots, "stat", fail)
    code, details = stand.client.refused("Stat", key="a")
    assert (code, details) == ("INTERNAL", "at \x00")
    assert "Traceback" in caplog.text
    assert stand.client.call("Prepare", key="a").mounts


def test_error_with_half_a_character_is_told_and_logged(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(key: str) -> None:
        raise errors.SnapshotNotFound("no \ud800")

    caplog.set_level("INFO", logger="winlayers.services")
    monkeypatch.setattr(stand.snapshots, "stat", fail)
    assert stand.client.refused("Stat", key="a") == ("NOT_FOUND", "no \\ud800")
    assert "no \\ud800" in caplog.text


def test_place_that_cannot_be_listened_on_is_told(stand: Stand, tmp_path: Path) -> None:
    with pytest.raises(InUse, match="cannot listen"):
        ContainerdServer(stand.service_of_snapshots, stand.diff, str(tmp_path / "none" / "w.sock"))
