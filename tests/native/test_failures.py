"""What the numbers of Windows mean."""

from __future__ import annotations

import ctypes

import pytest

from winlayers.backends.native._failures import Convention, fold_hresult, known_text, with_events
from winlayers.errors import RemoteFailure, WindowsCallFailed, codes_of


def signed(value: int) -> int:
    return ctypes.c_int32(value).value


@pytest.mark.parametrize(
    ("hresult", "code"),
    [
        (0x80070005, 5),
        (0x80070490, 0x490),
        (0x8007FFFF, 0xFFFF),
        (0xC0070022, 0x22),  # a status of the kernel, made of a Win32 code
        (0xD0070022, 0x22),  # an HRESULT made of that
        (0xD0000022, 0xD0000022),  # of a status proper
        (0xC0370105, 0xC0370105),
        (0x80370110, 0x80370110),
        (0x80004005, 0x80004005),
        (0x80080005, 0x80080005),
        (0x00070005, 5),
    ],
)
def test_win32_code_is_taken_out_of_an_hresult(hresult: int, code: int) -> None:
    assert fold_hresult(hresult) == code
    assert fold_hresult(signed(hresult)) == code


@pytest.mark.parametrize(
    ("convention", "good", "bad"),
    [
        (Convention.HRESULT, [0, 1, 0x7FFFFFFF], [-1, signed(0x80070005)]),
        (Convention.BOOL, [1, -1, 256], [0]),
        (Convention.BOOLEAN, [1, 255], [0]),
        (Convention.HANDLE, [4, 1 << 40], [None, ctypes.c_void_p(-1).value]),
        (Convention.COUNT, [1, 1000], [0]),
        (Convention.NTSTATUS, [0], [1, 0x103, signed(0xC0000034)]),
        (Convention.WIN32, [0], [1, 5, 0xFFFFFFFF]),
        (Convention.VALUE, [None, 0, 1], []),
    ],
)
def test_failure_is_told_by_each_convention(
    convention: Convention, good: list[int | None], bad: list[int | None]
) -> None:
    assert [convention.failed(one) for one in good] == [False] * len(good)
    assert [convention.failed(one) for one in bad] == [True] * len(bad)


def test_types_returned_have_the_width_of_windows() -> None:
    widths = {one.name: ctypes.sizeof(one.restype) for one in Convention}
    assert widths == {
        **dict.fromkeys(("HRESULT", "BOOL", "COUNT", "NTSTATUS", "WIN32"), 4),
        **dict.fromkeys(("HANDLE", "VALUE"), 8),
        "BOOLEAN": 1,
    }


def test_failure_is_one_of_the_other_side() -> None:
    error = WindowsCallFailed(call="CreateLayer", raw=0x800700B7, code=183, text="It exists")
    assert codes_of(error) == codes_of(RemoteFailure())
    assert str(error) == "Windows refused CreateLayer with error 183 (0x800700B7): It exists"


@pytest.mark.parametrize(
    ("raw", "code", "text", "shown"),
    [
        (5, 5, None, "Windows refused X with error 5"),
        (0xC0370105, 0xC0370105, None, "Windows refused X with 0xC0370105"),
        (0xC0000034, 2, "gone", "Windows refused X with error 2 (0xC0000034): gone"),
    ],
)
def test_failure_tells_call_number_and_text(
    raw: int, code: int, text: str | None, shown: str
) -> None:
    assert str(WindowsCallFailed(call="X", raw=raw, code=code, text=text)) == shown


def test_failure_tells_events_of_the_service() -> None:
    error = WindowsCallFailed(call="X", raw=5, code=5, text="denied")
    told = with_events(error, ("one", "two"))
    assert str(told) == "Windows refused X with error 5: denied; one; two"
    assert (told.call, told.raw, told.code, told.text) == ("X", 5, 5, "denied")


def test_codes_of_compute_systems_have_texts() -> None:
    assert known_text(0xC0370105) is not None
    assert known_text(5) is None
