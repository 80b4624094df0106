"""stat: everything that a layer says of one name."""

from __future__ import annotations

from tests.support.builders import DESCRIPTOR, a_file, a_layer, layer_tar
from tests.unit.cli.harness import Shell


def test_json_has_the_documented_fields(shared: Shell) -> None:
    facts = shared.run("stat", "--json", "base", "/Windows/win.ini").document
    assert facts == {
        "path": "/Windows/win.ini",
        "kind": "file",
        "attributes": ["ARCHIVE"],
        "size": 7,
        "times": {
            "creation": "2020-01-01T00:00:00.0000000Z",
            "access": "2020-01-01T00:00:00.0000001Z",
            "write": "2020-01-01T00:00:00.0000002Z",
            "change": "2020-01-01T00:00:00.0000003Z",
        },
        "security": {
            "owner": "S-1-5-32-544",
            "owner_name": "BUILTIN\\Administrators",
            "group": "S-1-5-18",
            "group_name": "NT AUTHORITY\\SYSTEM",
            "sddl": "O:BAG:SYD:(A;;FA;;;SY)(A;;0x1200a9;;;AU)",
            "raw": DESCRIPTOR.hex(),
        },
        "reparse": None,
        "streams": [{"name": "Zone.Identifier", "size": 8, "sparse": False}],
        "ea": [],
        "target": None,
        "target_layer": None,
        "layer": "base",
        "layers": ["base"],
    }


def test_text_spells_everything_out(shared: Shell) -> None:
    lines = shared.run("stat", "base", "/Windows/win.ini").lines
    assert "attributes:    ARCHIVE" in lines
    assert "size:          7 (7B)" in lines
    assert "write:         2020-01-01T00:00:00.0000002Z" in lines
    assert "stream:        Zone.Identifier, 8 bytes" in lines
    assert "owner:         BUILTIN\\Administrators (S-1-5-32-544)" in lines
    assert "  allow NT AUTHORITY\\SYSTEM: full control" in lines
    assert "  allow NT AUTHORITY\\Authenticated Users: read and execute" in lines


def test_protected_and_inherited_rights_are_told(shared: Shell) -> None:
    lines = shared.run("stat", "app", "/Windows/win.ini").lines
    assert "access:        (not inherited from above)" in lines
    assert "  allow BUILTIN\\Administrators: full control (to files, to folders)" in lines


def test_link_is_shown_itself_unless_followed(shared: Shell) -> None:
    facts = shared.run("stat", "--json", "base", "/ini").document
    assert facts["reparse"]["name"] == "SYMLINK"
    assert facts["reparse"]["target"] == "Windows\\win.ini"
    assert facts["reparse"]["relative"] is True
    followed = shared.run("stat", "--json", "-L", "base", "/ini").document
    assert followed["path"] == "/Windows/win.ini"


def test_junction_shows_both_names(shared: Shell) -> None:
    lines = shared.run("stat", "base", "/Documents and Settings").lines
    assert "reparse:       MOUNT_POINT (0xA0000003)" in lines
    assert "  target: C:\\Users" in lines
    assert "  substitute name: \\??\\C:\\Users" in lines


def test_hard_link_tells_its_target_and_the_layer_of_that(shared: Shell) -> None:
    facts = shared.run("stat", "--json", "app", "/Windows/cmd-too.exe").document
    assert (facts["kind"], facts["size"]) == ("link", 2)
    assert facts["target"] == "/Windows/System32/cmd.exe"
    assert (facts["layer"], facts["target_layer"]) == ("base", "base")
    lines = shared.run("stat", "app", "/Windows/cmd-too.exe").lines
    assert "hard link to:  /Windows/System32/cmd.exe of layer base" in lines


def test_extended_attributes_are_shown_with_their_flag(shared: Shell) -> None:
    facts = shared.run("stat", "--json", "base", "/Windows/ea.dat").document
    assert facts["ea"] == [{"name": "KERNEL.PURGE", "size": 2, "need": True, "value": "0102"}]
    lines = shared.run("stat", "base", "/Windows/ea.dat").lines
    assert "EA:            KERNEL.PURGE, 2 bytes, needed: 0102" in lines


def test_directory_tells_all_layers_that_show_in_it(shared: Shell) -> None:
    facts = shared.run("stat", "--json", "app", "/Windows").document
    assert facts["layers"] == ["app", "base"]
    assert "layer:         app, over base" in shared.run("stat", "app", "/Windows").lines


def test_root_has_a_path(shared: Shell) -> None:
    assert shared.run("stat", "--json", "app", "/").document["path"] == "/"
    assert shared.run("stat", "--json", "--raw", "app", "/").document["layers"] == ["app", "base"]


def test_several_paths_are_rows(shared: Shell) -> None:
    rows = shared.run("stat", "--json", "base", "/ini", "/Users").rows
    assert [row["path"] for row in rows] == ["/ini", "/Users"]
    assert "" in shared.run("stat", "base", "/ini", "/Users").lines


def test_damaged_security_in_a_bare_tar_is_told_and_shown(bare: Shell) -> None:
    tar = layer_tar(a_layer(a_file("Files/a.txt", b"", security=b"\x01\x02\x03")))
    target = "tar:" + bare.write("damaged.tar", tar)
    result = bare.run("stat", target, "/a.txt")
    assert any(line.startswith(("security:", "owner:")) for line in result.lines)
