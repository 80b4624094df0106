from __future__ import annotations

import json
from pathlib import Path

from tests.support.builders import a_directory, a_file, a_layer, layer_tar
from tests.support.hives import a_delta, a_hive, a_path, dword, text
from tests.unit.cli.harness import Shell

KEY = "Microsoft\\Windows NT\\CurrentVersion"
VALUES = [
    dword("CurrentMajorVersionNumber", 10),
    dword("CurrentMinorVersionNumber", 0),
    text("CurrentBuildNumber", "20348"),
    dword("UBR", 587),
    text("ProductName", "Windows Server 2022 Datacenter"),
]
BASE = layer_tar(
    a_layer(a_file("Files/Windows/System32/config/SOFTWARE", a_hive(a_path(KEY, values=VALUES))))
)


def an_upper(content: bytes) -> bytes:
    return layer_tar(a_layer(a_directory("Files"), a_file("Hives/Software_Delta", content)))


def imported(shell: Shell, layer_id: str, tar: bytes, *parent: str) -> None:
    shell.run("layer", "import", layer_id, shell.write("x.tar", tar), *parent, "--no-sync")


def test_inspect_tells_the_build_of_the_chain(bare: Shell) -> None:
    imported(bare, "base", BASE)
    update = a_delta(a_path(KEY, values=[dword("UBR", 2113)], layer_byte=0x80))
    imported(bare, "update", an_upper(update), "--parent", "base")
    found = bare.run("layer", "inspect", "base").document
    assert (found["os_build"], found["os_product"]) == (
        "10.0.20348.587",
        "Windows Server 2022 Datacenter",
    )
    assert bare.run("layer", "inspect", "update").document["os_build"] == "10.0.20348.2113"


def created(shell: Shell, layer_id: str) -> Path:
    """A layer that holds nothing yet, as Docker creates one before it is filled."""
    folder = shell.root / "windowsfilter" / layer_id
    folder.mkdir()
    return folder


def set_parent(shell: Shell, layer_id: str, parent: str) -> None:
    layers = shell.root / "windowsfilter"
    (layers / layer_id / "layerchain.json").write_text(json.dumps([str(layers / parent)]))


def test_inspect_of_a_layer_that_holds_nothing_tells_the_build_of_its_base(bare: Shell) -> None:
    imported(bare, "base", BASE)
    created(bare, "new")
    set_parent(bare, "new", "base")
    assert bare.run("layer", "inspect", "new").document["os_build"] == "10.0.20348.587"


def test_inspect_takes_no_other_layer_for_a_base_that_holds_nothing(bare: Shell) -> None:
    imported(bare, "app", BASE)
    created(bare, "empty")
    set_parent(bare, "app", "empty")
    assert bare.run("layer", "inspect", "app").document["os_build"] is None


def test_inspect_tells_a_hive_that_cannot_be_read_once(bare: Shell) -> None:
    imported(bare, "base", BASE)
    imported(bare, "bad", an_upper(b"no hive"), "--parent", "base")
    imported(bare, "app", an_upper(b""), "--parent", "bad")
    for layer_id in ("bad", "app"):
        found = bare.run("layer", "inspect", layer_id).document
        assert (found["os_build"], found["os_product"]) == (None, None)
        told = [(one["code"], one["layer"], one["entry"]) for one in found["findings"]]
        assert told.count(("hive-invalid", "bad", "Hives/Software_Delta")) == 1
