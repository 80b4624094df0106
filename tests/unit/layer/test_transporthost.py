"""What the portable host keeps of times and of plain files."""

from __future__ import annotations

import io
import os
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.builders import an_entry
from winlayers.errors import Malformed
from winlayers.formats.filetime import MAX_FILETIME, BasicInfo, ns_to_filetime
from winlayers.layer.entry import EntryKind, Part
from winlayers.layer.findings import Finding
from winlayers.layer.transportfolder import TransportFolder
from winlayers.layer.transporthost import PortableHost

INFO = BasicInfo(1, ns_to_filetime(10**18), ns_to_filetime(2 * 10**18), MAX_FILETIME, 0x21)


def test_info_is_remembered_exactly_and_set_as_far_as_it_goes(tmp_path: Path) -> None:
    with closing(TransportFolder(tmp_path)) as folder:
        folder.create("a").close()
        host = PortableHost()
        host.set_info(folder, "a", INFO)
        assert host.info(folder, "a") == INFO
        assert PortableHost(host.infos).info(folder, "a") == INFO
        told = PortableHost().info(folder, "a")
    assert (told.access_filetime, told.write_filetime) == (
        INFO.access_filetime,
        INFO.write_filetime,
    )
    assert told.creation_filetime == told.write_filetime
    assert told.attributes == 0x20


@pytest.mark.parametrize("filetime", [0, MAX_FILETIME])
def test_times_that_the_host_cannot_have_are_no_error(tmp_path: Path, filetime: int) -> None:
    info = BasicInfo(filetime, filetime, filetime, filetime, 0x10)
    with closing(TransportFolder(tmp_path)) as folder:
        folder.make_directory("d")
        host = PortableHost()
        host.set_info(folder, "d", info)
        assert host.info(folder, "d") == info
        assert PortableHost().info(folder, "d").attributes == 0x10


def test_info_of_nothing_is_malformed(tmp_path: Path) -> None:
    with closing(TransportFolder(tmp_path)) as folder, pytest.raises(Malformed):
        PortableHost().info(folder, "a")


def test_plain_file_holds_the_data_and_the_rest_is_reported(tmp_path: Path) -> None:
    found: list[Finding] = []
    entry = an_entry("Hives/x", ea=b"ea", reparse=b"reparse", size=3)
    parts = [(Part("", 3), io.BytesIO(b"abc")), (Part("s", 1), io.BytesIO(b"x"))]
    with closing(TransportFolder(tmp_path)) as folder:
        PortableHost(report=found.append).write_plain(folder, "x", entry, parts)
    assert (tmp_path / "x").read_bytes() == b"abc"
    assert [finding.code for finding in found] == [
        "security-lost",
        "ea-lost",
        "reparse-lost",
        "stream-lost",
    ]


def test_plain_folder_is_left_as_it_is(tmp_path: Path) -> None:
    found: list[Finding] = []
    os.mkdir(tmp_path / "d")
    with closing(TransportFolder(tmp_path)) as folder:
        entry = an_entry("UtilityVM/Files/d", EntryKind.DIRECTORY)
        PortableHost(report=found.append).write_plain(folder, "d", entry, [])
    assert [finding.code for finding in found] == ["security-lost"]
    assert list((tmp_path / "d").iterdir()) == []


def test_host_clones_utility_vms(tmp_path: Path) -> None:
    places = [tmp_path / "a" / "UtilityVM", tmp_path / "b" / "UtilityVM"]
    for place in places:
        place.mkdir(parents=True)
    (places[0] / "Files").mkdir()
    (places[0] / "Files" / "x").write_bytes(b"x")
    with (
        closing(TransportFolder(tmp_path / "a")) as source,
        closing(TransportFolder(tmp_path / "b")) as target,
    ):
        PortableHost().clone_utility_vm(source, target)
    assert (places[1] / "Files" / "x").read_bytes() == b"x"
