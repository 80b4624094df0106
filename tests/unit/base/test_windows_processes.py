"""What is made of the answers of Windows about a process."""

from __future__ import annotations

import errno

import pytest

from winlayers.base._windows_processes import start_of_process

STILL_ACTIVE = 259


class Answers:
    """Stands in for kernel32: one process, number 7."""

    def __init__(self, code: int = STILL_ACTIVE, refusal: OSError | None = None) -> None:
        self.code = code
        self.refusal = refusal
        self.open_handles: list[int] = []

    def open_process(self, access: int, pid: int) -> int:
        assert access == 0x1000
        if pid != 7:
            raise refused(errno.EINVAL, 87)
        self.open_handles.append(0x44)
        return 0x44

    def exit_code(self, handle: int) -> int:
        assert handle in self.open_handles
        return self.code

    def creation_filetime(self, handle: int) -> int:
        assert handle in self.open_handles
        if self.refusal is not None:
            raise self.refusal
        return 133_000_000_000_000_001

    def close(self, handle: int) -> None:
        self.open_handles.remove(handle)


def refused(number: int, winerror: int) -> OSError:
    """The error of a call that Windows refused, on any system."""
    error = OSError(number, "refused")
    error.winerror = winerror  # type: ignore[attr-defined, unused-ignore]
    return error


def test_process_that_runs_is_known_by_its_creation_time() -> None:
    calls = Answers()
    assert start_of_process(7, calls) == "133000000000000001"
    assert calls.open_handles == []


def test_process_that_has_ended_or_never_was_has_no_start() -> None:
    calls = Answers(code=0)
    assert start_of_process(7, calls) is None
    assert start_of_process(8, calls) is None
    assert calls.open_handles == []


def test_refusals_are_passed_on_and_the_handle_is_closed() -> None:
    calls = Answers(refusal=refused(errno.EACCES, 5))
    with pytest.raises(PermissionError):
        start_of_process(7, calls)
    assert calls.open_handles == []

    class Closed(Answers):
        def open_process(self, access: int, pid: int) -> int:
            raise refused(errno.EACCES, 5)

    with pytest.raises(PermissionError):
        start_of_process(7, Closed())
