"""What is refused for a while: how often it is tried, and what is told in the end."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from tests.native.test_holders import Lacking
from winlayers.backends.native import _busy
from winlayers.backends.native._busy import Patience, code_of, patiently
from winlayers.errors import Denied, InUse, LayerMounted, WindowsCallFailed


class Clock:
    """Time that passes in ``sleep``, and by so much in every try."""

    def __init__(self, try_seconds: float = 0.0) -> None:
        self.now = 100.0
        self.pauses: list[float] = []
        self._try_seconds = try_seconds

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def read(self) -> float:
        self.now += self._try_seconds
        return self.now

    @property
    def patience(self) -> Patience:
        return Patience(self.read, self.sleep)


def failing(code: int, times: int = 1000) -> Callable[[], str]:
    """Something that fails some times, as a call of Windows does."""
    left = [times]

    def attempt() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise WindowsCallFailed(call="X", raw=code, code=code, text="why")
        return "done"

    return attempt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "sandbox.vhdx").write_bytes(b"")
    return tmp_path / "one"


def test_what_succeeds_is_tried_once(fake: Fake, folder: Path) -> None:
    clock = Clock()
    assert patiently(fake.api, folder, lambda: 5, clock.patience) == 5
    assert clock.pauses == []


@pytest.mark.parametrize("code", [5, 21, 32, 33, 170, 2404])
def test_what_is_busy_is_tried_again(fake: Fake, folder: Path, code: int) -> None:
    clock = Clock()
    assert patiently(fake.api, folder, failing(code, 4), clock.patience) == "done"
    assert clock.pauses == [0.01, 0.02, 0.04, 0.08]
    assert fake.calls() == []


@pytest.mark.parametrize("code", [2, 3, 87, 183, 1117, 0xC0370105])
def test_what_fails_otherwise_is_told_at_once(fake: Fake, folder: Path, code: int) -> None:
    clock = Clock()
    with pytest.raises(WindowsCallFailed) as caught:
        patiently(fake.api, folder, failing(code), clock.patience)
    assert caught.value.code == code
    assert clock.pauses == []


def test_tries_end_within_five_seconds(fake: Fake, folder: Path) -> None:
    clock = Clock()
    with pytest.raises(InUse):
        patiently(fake.api, folder, failing(32), clock.patience)
    assert clock.pauses == list(_busy.PAUSES)
    assert sum(clock.pauses) == pytest.approx(4.63)


def test_time_that_the_tries_take_counts(fake: Fake, folder: Path) -> None:
    clock = Clock(try_seconds=1.5)
    with pytest.raises(InUse):
        patiently(fake.api, folder, failing(32), clock.patience)
    assert clock.pauses == [0.01, 0.02, 0.04]
    assert clock.now - 100 < 8


def told(fake: Fake, folder: Path, code: int = 32) -> Exception:
    with pytest.raises(
        Exception, match=f"layer {folder.name} "
    ) as caught:  # the type is for the tests
        patiently(fake.api, folder, failing(code), Clock().patience)
    assert isinstance(caught.value.__cause__, WindowsCallFailed)
    return caught.value


def test_process_that_holds_the_layer_is_told(fake: Fake, folder: Path) -> None:
    fake.set("FAKE_HOLDERS", "7 a.exe|8 b.exe")
    error = told(fake, folder)
    assert type(error) is InUse
    assert str(error) == (
        "layer one is held by a.exe (process 7), b.exe (process 8); end it first: "
        "Windows refused X with error 32: why"
    )


def test_compute_system_that_runs_from_the_layer_mounts_it(fake: Fake, folder: Path) -> None:
    fake.set("FAKE_HCS_SYSTEMS", '[{"Id":"one"}]')
    fake.set("FAKE_HOLDERS", "7 a.exe")
    error = told(fake, folder, 5)
    assert type(error) is LayerMounted
    assert "is held by compute system 'one', a.exe (process 7); end it first" in str(error)


def test_of_many_holders_the_first_are_told(fake: Fake, folder: Path) -> None:
    fake.set("FAKE_HOLDERS", "|".join(f"{number} p" for number in range(1, 12)))
    assert "p (process 8) and 3 more; end" in str(told(fake, folder))


def test_layer_that_nobody_is_seen_to_hold_is_busy(fake: Fake, folder: Path) -> None:
    error = told(fake, folder, 170)
    assert type(error) is InUse
    assert "is busy, and nobody is seen to hold it: Windows refused X" in str(error)


def test_access_that_is_refused_though_nobody_holds_the_layer_is_denied(
    fake: Fake, folder: Path
) -> None:
    error = told(fake, folder, 5)
    assert type(error) is Denied
    assert "run as a member of Administrators, elevated" in str(error)


def test_host_that_does_not_know_who_holds_files_says_so(fake: Fake, folder: Path) -> None:
    api = Lacking(fake.path, "RmStartSession", "HcsEnumerateComputeSystems")
    with pytest.raises(InUse, match=r"this Windows cannot say who holds it: .* error 5"):
        patiently(api, folder, failing(5), Clock().patience)


def test_failure_to_ask_who_holds_the_layer_does_not_hide_that_it_is_busy(
    fake: Fake, folder: Path
) -> None:
    fake.fail("RmGetList", 29)
    error = told(fake, folder)
    assert type(error) is InUse
    assert error.__notes__ == [
        "asking who holds it failed: Windows refused RmGetList with error 29"
    ]


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.EACCES, 5), (errno.EPERM, 5), (errno.EBUSY, 170), (errno.ENOENT, None), (None, None)],
)
def test_error_of_the_system_has_the_code_that_windows_has_for_it(
    number: int | None, code: int | None
) -> None:
    assert code_of(OSError(number, "x") if number else OSError("x")) == code


def test_error_of_windows_has_its_own_code() -> None:
    error = OSError(errno.EACCES, "x")
    error.winerror = 32  # type: ignore[attr-defined,unused-ignore]
    assert code_of(error) == 32


def test_error_of_the_system_is_busy_too(fake: Fake, folder: Path) -> None:
    def attempt() -> None:
        raise PermissionError(errno.EACCES, "no", str(folder))

    with pytest.raises(Denied, match=r"one.*\[Errno 13\] no"):
        patiently(fake.api, folder, attempt, Clock().patience)
