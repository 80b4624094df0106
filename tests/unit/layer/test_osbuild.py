from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.builders import (
    a_directory,
    a_file,
    a_layer,
    a_link,
    a_table,
    an_import,
    layer_tar,
)
from tests.support.hives import (
    LOCAL,
    TOMBSTONE,
    TREE,
    BuiltKey,
    BuiltValue,
    a_delta,
    a_hive,
    a_key,
    a_path,
    dword,
    no_value,
    text,
)
from winlayers.backends.memory import HeldEntry, MemoryBackend
from winlayers.backends.portable.backend import PortableBackend
from winlayers.formats.hive.cells import ValueKind
from winlayers.layer.chain import Chain
from winlayers.layer.findings import Finding
from winlayers.layer.merge import MergedView
from winlayers.layer.osbuild import OsBuild, read_os_build

SOFTWARE = "Files/Windows/System32/config/SOFTWARE"
DELTA = "Hives/Software_Delta"
KEY = "Microsoft\\Windows NT\\CurrentVersion"

VALUES = [
    dword("CurrentMajorVersionNumber", 10),
    dword("CurrentMinorVersionNumber", 0),
    text("CurrentBuildNumber", "20348"),
    text("CurrentBuild", "20348"),
    dword("UBR", 587),
    text("ProductName", "Windows Server 2022 Datacenter"),
    text("EditionID", "ServerDatacenter"),
    text("InstallationType", "Server Core"),
    text("BuildLabEx", "20348.1.amd64fre.fe_release.210507-1500"),
    text("DisplayVersion", "21H2"),
    text("SystemRoot", "C:\\Windows"),
]
FULL = OsBuild(
    10,
    0,
    20348,
    587,
    "Windows Server 2022 Datacenter",
    "ServerDatacenter",
    "Server Core",
    "20348.1.amd64fre.fe_release.210507-1500",
    "21H2",
)

Values = Sequence[BuiltValue]


def base(values: Values = VALUES, path: str = SOFTWARE) -> list[HeldEntry]:
    return a_layer(a_file(path, a_hive(a_path(KEY, values=values))))


def upper(root: BuiltKey) -> list[HeldEntry]:
    return a_layer(a_directory("Files"), a_file(DELTA, a_delta(root)))


def delta(values: Values = (), layer_byte: int = 0x80) -> list[HeldEntry]:
    return upper(a_path(KEY, values=values, layer_byte=layer_byte))


def raw(content: bytes, path: str = DELTA) -> list[HeldEntry]:
    return a_layer(a_directory("Files"), a_file(path, content))


EMPTY = a_layer(a_directory("Files"), a_directory("Hives"))


def found(
    *layers: Sequence[HeldEntry], has_base: bool = True
) -> tuple[OsBuild | None, list[Finding]]:
    """What the layers tell, nearest first, and what was reported on the way."""
    findings: list[Finding] = []
    top = len(layers) - 1
    tables = [a_table(f"L{top - n}", layer) for n, layer in enumerate(layers)]
    return read_os_build(tables, has_base=has_base, report=findings.append), findings


def version(*layers: Sequence[HeldEntry], has_base: bool = True) -> str | None:
    """The version, where nothing is reported."""
    build, findings = found(*layers, has_base=has_base)
    assert findings == []
    return build.version if build else None


# -- one layer --------------------------------------------------------------------------------------------


def test_base_layer_tells_its_build() -> None:
    assert found(base()) == (FULL, [])
    assert FULL.version == "10.0.20348.587"


def test_names_are_without_case() -> None:
    values = [BuiltValue(value.name.upper(), value.kind, value.data) for value in VALUES]
    hive = a_hive(a_path(KEY.lower(), values=values))
    assert found(raw(hive, "files/windows/system32/Config/Software"))[0] == FULL


def test_hive_that_is_a_hard_link_is_read() -> None:
    store = "Files/Windows/WinSxS/SOFTWARE"
    hive = a_hive(a_path(KEY, values=VALUES))
    assert version(a_layer(a_file(store, hive), a_link(SOFTWARE, store))) == "10.0.20348.587"


def test_whole_hive_in_hives_will_do_for_a_base() -> None:
    assert version(base(path="Hives/Software_Base")) == "10.0.20348.587"
    both = a_layer(*base(), a_file("Hives/Software_Base", a_hive(a_path(KEY))))
    assert version(both) == "10.0.20348.587"


def test_older_value_is_taken_where_the_newer_is_missing() -> None:
    values = [value for value in VALUES if value.name != "CurrentBuildNumber"]
    assert version(base(values)) == "10.0.20348.587"


def test_version_ends_before_a_revision_that_nothing_tells() -> None:
    values = [value for value in VALUES if value.name != "UBR"]
    assert version(base(values)) == "10.0.20348"


@pytest.mark.parametrize(
    "values",
    [
        [],
        VALUES[1:],
        [VALUES[0], *VALUES[2:]],
        [*VALUES[:2], *VALUES[4:]],
        [*VALUES[:2], text("CurrentBuildNumber", "x20348")],
        [*VALUES[:2], text("CurrentBuildNumber", "")],
        [*VALUES[:2], text("CurrentBuildNumber", "²")],
        [*VALUES[:2], text("CurrentBuildNumber", "1" * 5000)],
        [*VALUES[:2], dword("CurrentBuildNumber", 20348)],
        [text("CurrentMajorVersionNumber", "10"), *VALUES[1:]],
    ],
)
def test_build_is_unknown_without_its_numbers(values: Values) -> None:
    assert version(base(values)) is None


@pytest.mark.parametrize(
    "layer",
    [EMPTY, raw(b"", SOFTWARE), a_layer(a_directory(SOFTWARE)), raw(a_hive(a_key("R")), SOFTWARE)],
)
def test_build_is_unknown_without_the_key(layer: Sequence[HeldEntry]) -> None:
    assert version(layer) is None


def test_layer_without_its_base_tells_what_its_difference_holds() -> None:
    assert version(delta(VALUES), has_base=False) == "10.0.20348.587"
    assert version(delta(VALUES[4:5]), has_base=False) is None
    assert version(base(), has_base=False) is None


# -- chains -----------------------------------------------------------------------------------------------


def test_nearest_difference_wins_value_by_value() -> None:
    first = delta([dword("UBR", 1000), text("DisplayVersion", "first")])
    second = delta([dword("ubr", 2113)])
    build, findings = found(EMPTY, second, EMPTY, first, base())
    assert build is not None
    assert (build.version, build.display_version, findings) == ("10.0.20348.2113", "first", [])
    assert version(first, second, base()) == "10.0.20348.1000"


def test_whole_hives_of_upper_layers_are_hidden() -> None:
    wrong = a_hive(a_path(KEY, values=[dword("UBR", 1)]))
    layer = a_layer(a_file(SOFTWARE, wrong), a_file("Hives/Software_Base", wrong))
    assert version(layer, base()) == "10.0.20348.587"


def test_difference_of_a_base_is_not_read() -> None:
    layer = a_layer(*base(), a_file(DELTA, a_delta(a_path(KEY, values=[dword("UBR", 1)]))))
    assert version(layer) == "10.0.20348.587"


def test_deleted_value_is_gone() -> None:
    assert version(delta([no_value("UBR")]), base()) == "10.0.20348"
    assert version(delta([dword("UBR", 7)]), delta([no_value("UBR")]), base()) == "10.0.20348.7"


@pytest.mark.parametrize(
    "root",
    [
        a_path(KEY, layer_byte=TOMBSTONE),
        a_path("Microsoft\\Windows NT", layer_byte=TOMBSTONE),
        a_path("Microsoft", layer_byte=TOMBSTONE),
        a_path("Microsoft", layer_byte=TREE),
        a_path(KEY, layer_byte=TREE),
        a_path(KEY, layer_byte=LOCAL),
        a_key("ROOT", layer_byte=TREE),
        a_key("ROOT", layer_byte=TOMBSTONE),
    ],
)
def test_key_that_is_deleted_or_replaced_hides_what_is_below(root: BuiltKey) -> None:
    assert version(upper(root), base()) is None


def test_key_that_replaces_alone_lets_subkeys_through() -> None:
    assert version(upper(a_path("Microsoft", layer_byte=LOCAL)), base()) == "10.0.20348.587"


def test_replaced_key_shows_its_own_values() -> None:
    newer = [*VALUES[:2], text("CurrentBuildNumber", "26100"), dword("UBR", 32)]
    for layer_byte in (LOCAL, TREE):
        build, findings = found(delta(newer, layer_byte), base())
        assert (build, findings) == (OsBuild(10, 0, 26100, 32), [])


def test_deletion_below_a_new_key_changes_nothing() -> None:
    assert version(delta(VALUES), delta(layer_byte=TOMBSTONE), base()) == "10.0.20348.587"


def test_empty_difference_changes_nothing() -> None:
    assert version(raw(b""), base()) == "10.0.20348.587"
    assert version(raw(a_delta(a_key("ROOT"))), base()) == "10.0.20348.587"


def test_real_difference_leaves_the_build_alone() -> None:
    real = (Path(__file__).parents[2] / "data" / "Software_Delta").read_bytes()
    assert version(raw(real), base()) == "10.0.20348.587"
    assert version(raw(real), has_base=False) is None


@pytest.mark.parametrize("kind", ["memory", "portable"])
def test_chain_of_a_backend_is_read_layer_by_layer(kind: str, tmp_path: Path) -> None:
    backend = MemoryBackend() if kind == "memory" else PortableBackend(tmp_path)
    backend.import_tar(an_import("base", layer_tar(base())))
    backend.import_tar(an_import("one", layer_tar(delta([dword("UBR", 1000)])), "base"))
    backend.import_tar(an_import("two", layer_tar(delta([no_value("ProductName")])), "one", "base"))
    with backend.view("two", Chain(("one", "base"))) as view:
        assert isinstance(view, MergedView)
        build = read_os_build(view.tables, has_base=True)
    assert build is not None
    assert (build.version, build.product, build.edition) == (
        "10.0.20348.1000",
        "",
        "ServerDatacenter",
    )


# -- hives that cannot be read ----------------------------------------------------------------------------


def damaged(root: BuiltKey, name: bytes) -> bytes:
    """A difference in which the key of a name is no key any more."""
    hive = a_delta(root)
    at = hive.index(name) - 76
    assert hive[at : at + 2] == b"nk"
    return hive[:at] + b"xx" + hive[at + 2 :]


def test_file_that_is_no_hive_is_reported_and_the_rest_unknown() -> None:
    build, findings = found(raw(b"text"), base())
    assert build is None
    assert [(one.code, one.entry, one.layer_id) for one in findings] == [
        ("hive-invalid", DELTA, "L1")
    ]


@pytest.mark.parametrize("name", [b"Microsoft", b"Windows NT", b"CurrentVersion"])
def test_hive_with_a_damaged_key_is_reported_and_the_rest_unknown(name: bytes) -> None:
    layer = raw(damaged(a_path(KEY, values=[dword("UBR", 9)]), name))
    build, findings = found(layer, base())
    assert build is None
    assert [(one.code, one.entry) for one in findings] == [("hive-damaged", DELTA)]
    assert "byte" in findings[0].detail


def test_what_stands_above_a_damaged_hive_is_known() -> None:
    bad = raw(damaged(a_path(KEY), b"CurrentVersion"))
    build, findings = found(delta(VALUES[:4]), bad, base())
    assert build == OsBuild(10, 0, 20348)
    assert [one.layer_id for one in findings] == ["L1"]


def test_damaged_value_is_reported() -> None:
    bad = BuiltValue("UBR", ValueKind.DWORD, b"abc")
    build, findings = found(delta([bad]), base())
    assert build is None
    assert [one.code for one in findings] == ["hive-damaged"]


def test_damaged_value_of_another_name_is_not_looked_at() -> None:
    bad = BuiltValue("InstallDate", ValueKind.DWORD, b"abc")
    assert version(delta([bad]), base()) == "10.0.20348.587"


def test_long_text_is_not_read() -> None:
    build, findings = found(delta([text("ProductName", "x" * 600)]), base())
    assert build is not None
    assert (build.product, findings) == ("", [])


def test_hive_that_was_not_closed_is_read_and_reported() -> None:
    hive = a_hive(a_path(KEY, values=VALUES), sequences=(2, 1))
    build, findings = found(raw(hive, SOFTWARE))
    assert build == FULL
    assert [(one.code, one.entry) for one in findings] == [("hive-dirty", SOFTWARE)]
    log = a_file(f"{SOFTWARE}.LOG1", b"log")
    assert found(a_layer(a_file(SOFTWARE, hive), log)) == (FULL, [])
