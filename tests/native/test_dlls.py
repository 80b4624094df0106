"""The table of foreign functions, and calls through it."""

from __future__ import annotations

import ast
import ctypes
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native.conftest import Fake, compiler
from winlayers.backends import native
from winlayers.backends.native._dlls import TABLE, Libraries
from winlayers.backends.native._failures import Convention
from winlayers.errors import Unsupported, WindowsCallFailed, WrongPlatform

FOLDER = Path(str(native.__file__)).parent
CHANGING_WIDTH = (ctypes.c_char_p, ctypes.c_wchar_p, ctypes.c_wchar)


def calls_in(path: Path) -> Iterator[tuple[str, int | None]]:
    """The functions that a module names in ``api.call``, with how many arguments, or None where that is open."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("api.call", "self.call"):
            name, *arguments = node.args
            if isinstance(name, ast.Constant):
                spread = any(isinstance(one, ast.Starred) for one in arguments)
                yield str(name.value), None if spread else len(arguments)


def failure(fake: Fake, name: str, *arguments: object) -> WindowsCallFailed:
    with pytest.raises(WindowsCallFailed) as caught:
        fake.api.call(name, *arguments)
    return caught.value


@pytest.mark.parametrize("name", TABLE)
def test_prototype_is_whole(name: str) -> None:
    prototype = TABLE[name]
    assert prototype.name == name
    for parameter in prototype.parameters:
        assert hasattr(parameter, "from_param")
        assert parameter not in CHANGING_WIDTH


def test_table_has_every_library() -> None:
    counts = dict.fromkeys((one.library for one in TABLE.values()), 0)
    for one in TABLE.values():
        counts[one.library] += 1
    assert counts == {
        "vmcompute": 25,
        "computestorage": 12,
        "ole32": 1,
        "kernel32": 17,
        "ntdll": 4,
        "advapi32": 13,
        "virtdisk": 5,
        "rstrtmgr": 4,
        "offreg": 3,
    }


def test_functions_that_modules_name_are_in_the_table_with_as_many_arguments() -> None:
    named = [(path.name, *call) for path in FOLDER.glob("*.py") for call in calls_in(path)]
    assert len(named) > 30
    for module, name, count in named:
        assert name in TABLE, module
        assert count in (None, len(TABLE[name].parameters)), f"{module}: {name}"


def test_modules_load_where_nothing_of_windows_is() -> None:
    names = [f"winlayers.backends.native.{path.stem}" for path in FOLDER.glob("_[a-z]*.py")]
    assert len(names) > 6
    program = f"import sys; [__import__(one) for one in {names}]; print('loaded')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "loaded\n", done.stderr


def test_call_on_another_system_says_what_it_needs() -> None:
    with pytest.raises(WrongPlatform, match=r"vmcompute\.dll of Windows.*feature Containers"):
        Libraries().call("ActivateLayer", None, "x")
    with pytest.raises(WrongPlatform):
        Libraries().has("ActivateLayer")


def test_library_that_does_not_load_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nothing\.so"):
        Libraries({"vmcompute": tmp_path / "nothing.so"}).has("ActivateLayer")


def test_function_that_is_missing_is_code_127(fake: Fake) -> None:
    error = failure(fake, "ORCloseHive", None)
    assert (error.call, error.raw, error.code) == ("ORCloseHive", 127, 127)
    assert "offreg.dll" in str(error)
    assert not fake.api.has("ORCloseHive")
    assert fake.api.has("CreateLayer")


def test_function_can_be_taken_from_another_library(fake: Fake) -> None:
    api = Libraries({"vmcompute": fake.path}, {"CloseHandle": "vmcompute"})
    assert api.has("CloseHandle")
    with pytest.raises(WrongPlatform, match="kernel32"):
        api.has("CreateFileW")


def test_hresult_is_told_raw_and_folded_with_the_text_of_windows(fake: Fake) -> None:
    fake.fail("ProcessBaseImage", 0x800700B7)
    error = failure(fake, "ProcessBaseImage", "C:\\x")
    assert (error.raw, error.code) == (0x800700B7, 183)
    assert error.text == "Cannot create a file when that file already exists"


def test_hresult_of_another_facility_is_kept_whole(fake: Fake) -> None:
    fake.fail("ProcessBaseImage", 0xC0370105)
    error = failure(fake, "ProcessBaseImage", "C:\\x")
    assert (error.raw, error.code) == (0xC0370105, 0xC0370105)
    assert error.text == "the compute system is in a state that does not allow this"


def test_s_false_is_a_success(fake: Fake) -> None:
    fake.fail("ProcessBaseImage", 1)
    assert fake.api.call("ProcessBaseImage", "C:\\x") == 1


def test_last_error_is_that_of_the_call_not_of_its_text(fake: Fake) -> None:
    fake.fail("FormatMessageW", 87, 5)
    error = failure(fake, "CloseHandle", 0x1234567800)
    assert (error.raw, error.code, error.text) == (6, 6, None)


def test_failure_to_tell_a_text_is_told_without_one(fake: Fake) -> None:
    fake.fail("FormatMessageW", 5)
    error = failure(fake, "FormatMessageW", 0x1200, None, 2, 0, None, 0, None)
    assert (error.call, error.code, error.text) == ("FormatMessageW", 5, None)


def test_last_error_belongs_to_the_thread(fake: Fake) -> None:
    fake.fail("RevertToSelf", 5)
    failure(fake, "RevertToSelf")
    fake.fail("ImpersonateSelf", 7)
    codes = []

    def other() -> None:
        codes.append(failure(fake, "ImpersonateSelf", 2).code)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert codes == [7]


def test_status_becomes_the_code_that_ntdll_makes_of_it(fake: Fake) -> None:
    fake.fail("NtSetInformationFile", 0xC0000034)
    error = failure(fake, "NtSetInformationFile", 8, None, None, 0, 13)
    assert (error.raw, error.code) == (0xC0000034, 2)
    assert error.text == "The system cannot find the file specified"


def test_win32_code_is_what_is_returned(fake: Fake) -> None:
    places = [ctypes.c_void_p() for _ in range(3)]
    fake.api.call("GetSecurityInfo", 8, 1, 4, None, places[0], places[1], None, places[2])
    assert [one.value for one in places] == [None, 0x8900000010, 0x8900000000]
    fake.fail("GetSecurityInfo", 5)
    error = failure(fake, "GetSecurityInfo", 8, 1, 4, None, None, places[1], None, places[2])
    assert (error.raw, error.code, error.text) == (5, 5, "Access is denied")


def test_only_the_low_byte_of_a_boolean_counts(fake: Fake) -> None:
    assert fake.api.call("CreateSymbolicLinkW", "l", "t", 2) == 1
    fake.fail("CreateSymbolicLinkW", 1314)
    assert failure(fake, "CreateSymbolicLinkW", "l", "t", 2).code == 1314


def test_addresses_above_four_gigabytes_survive(fake: Fake) -> None:
    pointer = fake.api.call("GetCurrentThread")
    assert pointer == ctypes.c_void_p(-2).value
    failure(fake, "DetachVirtualDisk", 0xFF, 0, 0)
    assert fake.api.call("DetachVirtualDisk", 0x76543210FF, 0, 0) == 0
    fake.api.call("LocalFree", 0x8900000000)
    assert fake.log()[-1] == "LocalFree 0x8900000000"


def test_every_layer_call_is_an_hresult() -> None:
    libraries = {"vmcompute", "computestorage"}
    found = {one.convention for one in TABLE.values() if one.library in libraries}
    assert found == {Convention.HRESULT}


def test_missing_compiler_fails_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(pytest.fail.Exception, match=r"needs a C compiler: install gcc"):
        compiler()


def test_unsupported_is_what_a_missing_library_of_windows_is() -> None:
    assert issubclass(WrongPlatform, Unsupported)
