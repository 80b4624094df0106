"""The layer calls of computestorage, and which generation is asked."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native import _generations, _storage
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._generations import Generation
from winlayers.errors import Unsupported, WindowsCallFailed, WrongPlatform

DISK = 0x76543210FF


@pytest.fixture
def layer(tmp_path: Path, fake: Fake) -> str:
    fake.set("FAKE_BARE", "1")
    (tmp_path / "layer").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "base").mkdir()
    return str(tmp_path / "layer")


def beside(layer: str, name: str) -> str:
    return str(Path(layer).parent / name)


def options_told(fake: Fake) -> list[str]:
    """The JSON that went along with exports, beside that of parents."""
    told = (line.removeprefix("  data ") for line in fake.log() if line.startswith("  data "))
    return [one for one in told if "SchemaVersion" not in one]


Operation = Callable[[Libraries, str], object]
OPERATIONS: dict[str, Operation] = {
    "HcsImportLayer": lambda api, one: _storage.import_layer(
        api, one, beside(one, "out"), [beside(one, "base")]
    ),
    "HcsExportLayer": lambda api, one: _storage.export_layer(
        api, one, beside(one, "out"), [beside(one, "base")]
    ),
    "HcsDestroyLayer": _storage.destroy,
    "HcsInitializeWritableLayer": lambda api, one: _storage.initialize_scratch(
        api, one, [beside(one, "base")]
    ),
    "HcsAttachLayerStorageFilter": lambda api, one: _storage.attach_filter(
        api, one, [beside(one, "base")]
    ),
    "HcsDetachLayerStorageFilter": _storage.detach_filter,
    "HcsFormatWritableLayerVhd": lambda api, _: _storage.format_disk(api, DISK),
    "HcsGetLayerVhdMountPath": lambda api, _: _storage.disk_mount_path(api, DISK),
    "HcsSetupBaseOSLayer": _storage.set_up_base_layer,
    "HcsSetupBaseOSVolume": lambda api, one: _storage.set_up_base_volume(api, one, "V:\\"),
}


@pytest.mark.parametrize("call", OPERATIONS)
def test_failure_of_an_operation_is_that_of_its_call(fake: Fake, layer: str, call: str) -> None:
    # To destroy is the same in both generations of the stand-in.
    fake.fail("DestroyLayer" if call == "HcsDestroyLayer" else call, 0x80070005)
    with pytest.raises(WindowsCallFailed) as caught:
        OPERATIONS[call](fake.api, layer)
    assert (caught.value.call, caught.value.code) == (call, 5)


@pytest.mark.parametrize("call", OPERATIONS)
def test_operation_succeeds_on_what_is_there(fake: Fake, layer: str, call: str) -> None:
    OPERATIONS[call](fake.api, layer)
    assert fake.calls()[-1] in (call, "DestroyLayer", "CoTaskMemFree")


def test_parents_go_along_as_json(fake: Fake) -> None:
    data = json.loads(_storage.layer_data(fake.api, ["C:\\l\\b", "C:\\l\\ä"]))
    assert data["SchemaVersion"] == {"Major": 2, "Minor": 1}
    assert [one["Path"] for one in data["Layers"]] == ["C:\\l\\b", "C:\\l\\ä"]
    ids = [str(uuid.UUID(bytes_le=hashlib.sha1(one).digest()[:16])) for one in (b"b", b"\xc3\xa4")]
    assert [one["Id"] for one in data["Layers"]] == ids
    assert fake.log() == ["NameToGuid b", "NameToGuid ä"]


def test_export_says_whether_it_is_a_scratch(fake: Fake, layer: str) -> None:
    parents = [beside(layer, "base")]
    _storage.export_layer(fake.api, layer, beside(layer, "out"), parents)
    assert options_told(fake) == ["{}"]
    _storage.export_layer(fake.api, layer, beside(layer, "out"), parents, options=_storage.WRITABLE)
    assert options_told(fake) == ["{}", '{"IsWritableLayer":true}']


def test_base_layer_is_set_up_without_a_disk_and_a_utility_vm_with_one(
    fake: Fake, layer: str
) -> None:
    _storage.set_up_base_layer(fake.api, layer)
    assert fake.log()[-2:] == ["  vhd 0", '  data {"Type":"Container"}']
    _storage.set_up_base_layer(fake.api, layer, DISK)
    assert fake.log()[-2:] == ["  vhd 0x76543210ff", '  data {"Type":"Vm"}']


def test_path_of_a_volume_is_read_and_freed(fake: Fake) -> None:
    path = _storage.disk_mount_path(fake.api, DISK)
    assert path == "\\\\?\\Volume{00000000-0000-0000-0000-00000000fa1e}"
    assert fake.log() == ["HcsGetLayerVhdMountPath 0x76543210ff", "CoTaskMemFree 1"]


def test_host_with_both_generations_is_asked_with_the_first(fake: Fake, layer: str) -> None:
    assert _generations.generations(fake.api) == tuple(Generation)
    parents = [beside(layer, "base")]
    for name in ("layer", "base", "out"):
        (Path(layer).parent / name / "Files").mkdir()
    _generations.export_layer(fake.api, layer, beside(layer, "out"), parents, writable=True)
    (Path(layer).parent / "out" / "tombstones.txt").unlink()
    _generations.import_layer(fake.api, layer, beside(layer, "out"), parents)
    _generations.destroy(fake.api, layer)
    assert [one for one in fake.calls() if one != "NameToGuid"] == [
        *("ExportLayer", "ImportLayer", "DestroyLayer")
    ]


class SecondOnly(Libraries):
    """A host that has given up the first generation, but for the ids of names."""

    def has(self, name: str) -> bool:
        return name not in ("ImportLayer", "ExportLayer", "DestroyLayer") and super().has(name)


def test_host_without_the_first_generation_is_asked_with_the_second(fake: Fake, layer: str) -> None:
    api = SecondOnly(dict.fromkeys(("vmcompute", "computestorage", "ole32"), fake.path))
    parents = [beside(layer, "base")]
    assert _generations.generations(api) == (Generation.COMPUTESTORAGE,)
    _generations.import_layer(api, layer, beside(layer, "out"), parents)
    _generations.export_layer(api, layer, beside(layer, "out"), parents, writable=True)
    _generations.export_layer(api, layer, beside(layer, "out"), parents, writable=False)
    assert options_told(fake) == ['{"IsWritableLayer":true}', "{}"]
    _generations.destroy(api, layer)
    assert [one for one in fake.calls() if one != "NameToGuid"] == [
        *("HcsImportLayer", "HcsExportLayer", "HcsExportLayer", "DestroyLayer")
    ]


def test_host_without_computestorage_has_the_first_generation(fake: Fake) -> None:
    class Old(Libraries):
        def has(self, name: str) -> bool:
            return not name.startswith("Hcs") and super().has(name)

    api = Old({"vmcompute": fake.path})
    assert _generations.generations(api) == (Generation.VMCOMPUTE,)


def test_host_without_layers_is_told_what_it_needs() -> None:
    class Bare(Libraries):
        def has(self, name: str) -> bool:
            return False

    with pytest.raises(Unsupported, match="feature Containers"):
        _generations.destroy(Bare(), "C:\\x")


def test_other_system_is_told_what_it_needs() -> None:
    with pytest.raises(WrongPlatform):
        _generations.generation(Libraries())
