"""The commands that make images: what is in them, what is told, and what is refused."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.builders import a_directory, a_file, a_layer, a_link, a_whiteout, layer_tar
from tests.support.hives import a_delta, a_hive, a_path, dword, text
from tests.support.memoryimages import WINDOWS, ImageParts, MemoryImages, put_image
from tests.unit.cli.harness import APP, BASE, Shell
from tests.unit.cli.images import an_image
from winlayers.cli.appending import is_layer_tar
from winlayers.making.rebasing import BASE_DIGEST, BASE_NAME
from winlayers.oci.building import edit_manifest
from winlayers.oci.layout import LayoutSink
from winlayers.oci.model import digest_bytes
from winlayers.oci.platform import Platform
from winlayers.transfer.copying import copy_image

PLAIN_BASE = layer_tar(
    a_layer(a_file("Files/Windows/win.ini", b"[fonts]"), a_file("Files/old.txt", b"old"))
)
PLAIN_APP = layer_tar(
    a_layer(a_file("Files/app/run.exe", b"MZ"), a_whiteout("Files/old.txt"), a_directory("Hives"))
)
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
NEWER = Platform("windows", "amd64", os_version="10.0.20348.9999")


def put(shell: Shell, name: str, *tars: bytes, platform: Platform = WINDOWS) -> str:
    """An image in a layout; its name."""
    source = MemoryImages()
    put_image(source, an_image(tars, platform))
    folder = shell.folder / "layout"
    with LayoutSink(folder, name) as sink:
        copy_image(source, sink)
    return f"oci:{folder}:{name}"


@pytest.fixture
def app(bare: Shell) -> str:
    """An image of a base and a layer that nothing hinders to be squashed."""
    return put(bare, "app", PLAIN_BASE, PLAIN_APP)


@pytest.fixture
def stored(bare: Shell) -> Shell:
    """A store with ``app:1`` and its base ``base:1``."""
    for name, tars in (("base", [PLAIN_BASE]), ("app", [PLAIN_BASE, PLAIN_APP])):
        bare.run("pull", put(bare, name, *tars), "--as", f"{name}:1")
    return bare


@pytest.fixture
def files(bare: Shell) -> Path:
    """A folder with two files."""
    folder = bare.folder / "files"
    (folder / "Sub").mkdir(parents=True)
    (folder / "Sub" / "one.txt").write_bytes(b"one")
    (folder / "WIN.INI").write_bytes(b"changed")
    return folder


def tar_of(folder: Path) -> bytes:
    """A plain tar of a folder."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        tar.add(folder, ".")
    return target.getvalue()


def diff_ids(shell: Shell, name: str) -> list[str]:
    """Of the layers of an image."""
    return [layer["diff_id"] for layer in shell.run("inspect", name).document["layers"]]


def test_config_changes_settings_and_leaves_layers(bare: Shell, app: str) -> None:
    new = app.replace(":app", ":new")
    made = bare.run(
        *("config", app, "-t", new, "-e", "MODE=quiet", "--unset-env", "name", "-l", "a=b"),
        *("--entrypoint", '["run.exe"]', "--cmd", '["/q"]', "-u", "me", "-w", "app"),
        *("--expose", "80", "--stop-signal", "9", "--os-version", "10.0.20348.2200"),
        *("--os-feature", "win32k", "-a", "somebody", "-m", "why", "-c", "LABEL c=d"),
        environ=EPOCH,
    )
    found = bare.run("inspect", new).document
    assert made.lines == [found["digest"]]
    assert found["config"] == {
        "User": "me",
        "ExposedPorts": {"80/tcp": {}},
        "Env": ["MODE=quiet"],
        "Entrypoint": ["run.exe"],
        "Cmd": ["/q"],
        "WorkingDir": "C:\\app",
        "Labels": {"a": "b", "c": "d"},
        "StopSignal": "9",
    }
    assert found["platform"]["os_version"] == "10.0.20348.2200"
    assert diff_ids(bare, new) == diff_ids(bare, app)
    step = bare.run("history", "--json", new).rows[0]
    assert step["comment"] == "why"
    assert step["created"] == "2023-11-14T22:13:20Z"


def test_config_that_changes_nothing_keeps_the_digest(bare: Shell, app: str) -> None:
    new = app.replace(":app", ":new")
    assert bare.run("config", app, "-t", new).lines == [bare.run("inspect", app).document["digest"]]
    gone = bare.run("config", app, "-t", new, "--entrypoint", "", "--cmd", "").lines
    assert gone == [bare.run("inspect", new).document["digest"]]
    assert "Entrypoint" not in bare.run("inspect", new).document["config"]


def test_platform_chooses_the_image_and_not_what_is_made(bare: Shell) -> None:
    from tests.unit.cli.images import put_layout

    layout = put_layout(bare.folder / "multi")
    name = f"oci:{bare.folder}/multi:new"
    told = bare.run(
        *("config", layout, "--platform", "windows:ltsc2019"),
        *("--os-version", "10.0.17763.2", "-t", name),
    )
    assert "the build that was asked for" in told.err
    assert bare.run("inspect", name).document["platform"]["os_version"] == "10.0.17763.2"
    linux = bare.run("config", layout, "--platform", "linux", "-t", name, code=16)
    assert "not for Windows" in linux.err


def test_appended_folder_and_tar_are_the_same(bare: Shell, app: str, files: Path) -> None:
    tar = bare.write("files.tar.gz", gzip.compress(tar_of(files)))
    place = ("--to", "c:/windows")
    one = bare.run("append", app, "-f", str(files), *place, "--dry-run", "--json", environ=EPOCH)
    two = bare.run("append", app, "-f", tar, *place, "--dry-run", "--json", environ=EPOCH)
    layers = one.document["layers"]
    assert layers == two.document["layers"]
    assert [layer["diff_id"] for layer in layers[:2]] == diff_ids(bare, app)
    name = app.replace(":app", ":new")
    made = bare.run("append", app, "-f", tar, *place, "-t", name, environ=EPOCH)
    assert made.lines == [two.document["digest"]]
    assert bare.run("cat", name, "C:\\Windows\\win.ini").out == b"changed"
    assert bare.run("ls", name, "/Windows/Sub").lines == ["one.txt"]
    assert bare.run("check", name).code == 0
    assert bare.run("history", "--json", name).rows[0]["created_by"] == (
        "winlayers append files.tar.gz to c:/windows"
    )


def test_each_source_is_a_layer_on_the_one_before(
    stored: Shell, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = stored.write("link.tar", layer_tar(a_layer(a_link("Files/too", "Files/Sub/one.txt"))))
    stored.run(
        *("append", "app:1", "-f", str(files), "-f", link, "--delete", "C:\\app\\run.exe"),
        *("-t", "app:2", "-c", "USER me"),
    )
    assert stored.run("cat", "app:2", "C:\\too").out == b"one"
    assert stored.run("ls", "app:2", "/app").lines == []
    found = stored.run("inspect", "app:2").document
    assert len(found["layers"]) == 4
    assert found["layers"][3]["diff_id"] == str(digest_bytes(Path(link).read_bytes()))
    assert found["config"]["User"] == "me"
    with (files.parent / "in.tar").open("w+b") as pipe:
        pipe.write(tar_of(files))
        pipe.seek(0)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(pipe))
        stored.run("append", "app:1", "-f", "-", "--compression", "zstd", "-t", "app:3")
    assert stored.run("cat", "app:3", "C:\\WIN.INI").out == b"changed"
    layer = stored.run("inspect", "app:3").document["layers"][-1]
    assert layer["media_type"].endswith("+zstd")


def test_layers_that_the_store_has_are_not_fetched(stored: Shell, app: str, files: Path) -> None:
    digests = [
        layer["digest"].removeprefix("sha256:")
        for layer in stored.run("inspect", app).document["layers"]
    ]
    blobs = stored.folder / "layout" / "blobs" / "sha256"
    arguments = ("append", app, "-f", str(files), "--dry-run")
    made = stored.run(*arguments, environ=EPOCH)
    (blobs / digests[0]).unlink()
    stored.run("rmi", "app:1")  # the base alone stays in the store
    assert stored.run(*arguments, environ=EPOCH).lines == made.lines
    (blobs / digests[1]).unlink()
    assert digests[1] in stored.run(*arguments, code=10).err


def test_one_thing_comes_on_standard_input(bare: Shell) -> None:
    for more in (["-f", "-"], ["--creds-stdin"]):
        with open(bare.folder / "in", "w+") as pipe, pytest.MonkeyPatch.context() as patch:
            pipe.write("somebody:secret\n")
            pipe.seek(0)
            patch.setattr("sys.stdin", pipe)
            told = bare.run("append", "app:1", "-f", "-", *more, "--dry-run", code=2)
        assert "one thing only" in told.err
        assert "secret" not in told.err


def test_deletion_alone_is_a_layer(stored: Shell) -> None:
    stored.run("append", "app:1", "--delete", "C:\\APP", "-t", "app:2")
    assert stored.run("ls", "app:2").lines == ["Windows"]


def test_layer_tar_is_told_by_its_records() -> None:
    assert is_layer_tar(APP)
    assert is_layer_tar(APP[:4096])
    assert not is_layer_tar(b"no tar" * 1000)
    assert not is_layer_tar(bytes(1024))
    assert not is_layer_tar(b"")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["-t", "new"], 2, "what is to be appended"),
        (["-f", "FILES"], 2, "say what the new image is called"),
        (["-f", "FILES", "-t", "oci"], 0, ""),
        (["-f", "FILES", "-t", "docker://"], 2, "does not say which image"),
        (["-f", "FILES", "--as", "layer", "-t", "new"], 2, "no layer tar"),
        (["-f", "LAYER", "--to", "/x", "-t", "new"], 2, "taken as it is"),
        (["-f", "LAYER", "--as", "files", "-t", "new"], 2, "would be a whiteout"),
        (["-f", "TEXT", "-t", "new"], 14, "is to be a tar"),
        (["-f", "FILES", "--to", "C:\\con:x", "-t", "new"], 2, "con:x"),
        (["--delete", "C:\\none", "-t", "new"], 10, "cannot be deleted"),
        (["-f", "FILES", "-t", "new", "-c", "RUN x"], 2, "none of the changes"),
    ],
)
def test_append_tells_what_is_wrong(
    stored: Shell, files: Path, arguments: list[str], code: int, told: str
) -> None:
    known = {
        "FILES": str(files),
        "LAYER": stored.write("layer.tar", PLAIN_APP),
        "TEXT": stored.write("text", b"text" * 500),
    }
    before = stored.run("images", "--json").rows
    done = stored.run("append", "app:1", *(known.get(one, one) for one in arguments), code=code)
    assert told in done.err
    if code:
        assert done.out == b""
        assert stored.run("images", "--json").rows == before


def test_wrong_epoch_is_told(bare: Shell, app: str) -> None:
    for epoch in ("soon", "-1", "9" * 30):
        arguments = ("config", app, "-u", "me", "--dry-run")
        told = bare.run(*arguments, code=2, environ={"SOURCE_DATE_EPOCH": epoch})
        assert "seconds since 1970" in told.err


def test_commit_finds_the_image_that_a_scratch_stands_on(stored: Shell) -> None:
    stored.run("layer", "create", "work", "--parent", "app:1")
    note = stored.write("note.txt", b"a note")
    stored.run("cp", note, "work:C:\\Windows")
    arguments = ("commit", "work", "app:2", "-a", "me", "-m", "why", "-c", "ENV A=b")
    made = stored.run(*arguments, environ=EPOCH)
    assert "it stands on app:1" in made.err
    assert stored.run(*arguments, environ=EPOCH).lines == made.lines
    assert stored.run("cat", "app:2", "/windows/NOTE.TXT").out == b"a note"
    found = stored.run("inspect", "app:2").document
    assert [layer["diff_id"] for layer in found["layers"][:2]] == diff_ids(stored, "app:1")
    assert found["config"]["Env"] == ["NAME=value", "A=b"]
    assert stored.run("history", "--json", "app:2").rows[0]["comment"] == "why"
    layer = stored.run("layer", "commit", "work", "made").lines
    assert layer == diff_ids(stored, "app:2")[2:]
    sealed = stored.run(
        "commit", "made", "--dry-run", "-a", "me", "-m", "why", "-c", "ENV A=b", environ=EPOCH
    )
    assert sealed.lines == made.lines


def test_commit_takes_all_layers_above_the_image(stored: Shell) -> None:
    more = stored.write("more.tar", layer_tar(a_layer(a_file("Files/more"), a_directory("Hives"))))
    stored.run("layer", "create", "first", "--parent", "app:1")
    stored.run("layer", "commit", "first", "one")
    stored.run("layer", "import", "two", more, "--parent", "one")
    stored.run("layer", "create", "work", "--parent", "two")
    stored.run("commit", "work", "app:2")
    assert len(diff_ids(stored, "app:2")) == 5
    stored.run("commit", "work", "app:3", "--image", "base:1")
    assert diff_ids(stored, "app:3") == diff_ids(stored, "app:2")


def test_commit_tells_what_is_wrong(stored: Shell, app: str) -> None:
    stored.run("layer", "create", "work", "--parent", "app:1")
    stored.run("config", "app:1", "-u", "me", "-t", "app:2")
    two = stored.run("commit", "work", "new", code=2)
    assert "2 images have the layers that it stands on: app:1, app:2" in two.err
    assert stored.run("commit", "work", "new", "--image", "app:2").code == 0
    base = stored.run("inspect", "base:1").document["layers"][0]["diff_id"].removeprefix("sha256:")
    none = stored.run("commit", base, "new", code=2)
    assert "no image that layer" in none.err
    other = put(stored, "other", BASE)
    wrong = stored.run("commit", "work", "new", "--image", other, code=2)
    assert "does not stand on" in wrong.err
    both = stored.run("commit", "work", "new", "--image", other, "--no-base", code=2)
    assert "only one of them" in both.err
    stored.run("layer", "create", "empty", "--parent", "app:1", "--read-only")
    assert "holds nothing" in stored.run("commit", "empty", "new", code=2).err
    assert "say what" in stored.run("commit", "work", code=2).err


def test_layers_without_an_image_become_one(shell: Shell) -> None:
    unknown = shell.run("commit", "app", "app:1", "--no-base", code=2)
    assert "does not tell which build" in unknown.err
    linux = shell.run("commit", "app", "app:1", "--no-base", "--platform", "linux", code=2)
    assert "make no image for linux" in linux.err
    wanted = ("--no-base", "--platform", "windows/amd64:10.0.20348.1")
    made = shell.run("commit", "app", "app:1", *wanted, "-c", "USER me", environ=EPOCH)
    found = shell.run("inspect", "app:1").document
    assert made.lines == [found["digest"]]
    assert diff_ids(shell, "app:1") == [str(digest_bytes(BASE)), str(digest_bytes(APP))]
    assert found["config"] == {"User": "me"}
    assert shell.run("cat", "app:1", "/License.txt").out == b"another license"


def test_build_is_that_of_the_registry(bare: Shell) -> None:
    values = [
        dword("CurrentMajorVersionNumber", 10),
        dword("CurrentMinorVersionNumber", 0),
        text("CurrentBuildNumber", "20348"),
        dword("UBR", 587),
    ]
    hive = a_hive(a_path("Microsoft\\Windows NT\\CurrentVersion", values=values))
    tar = layer_tar(a_layer(a_file("Files/Windows/System32/config/SOFTWARE", hive)))
    bare.run("layer", "import", "base", bare.write("base.tar", tar))
    bare.run("layer", "create", "work", "--parent", "base")
    for layer in ("base", "work"):
        bare.run("commit", layer, "made:1", "--no-base")
        found = bare.run("inspect", "made:1").document["platform"]
        assert found["os_version"] == "10.0.20348.587"


def test_damaged_layer_makes_no_image(shell: Shell) -> None:
    pack = shell.root / "windowsfilter" / "app" / "sealed" / "layer.tar"
    content = pack.read_bytes()
    pack.chmod(0o600)
    pack.write_bytes(content.replace(b"MZ of the app", b"MZ of another"))
    wanted = ("--no-base", "--platform", "windows:10.0.20348.1")
    damaged = shell.run("commit", "app", "app:1", *wanted, code=15)
    assert "layer app" in damaged.err
    assert shell.run("images", "--json").out == b""


def test_rebase_puts_own_layers_on_another_base(stored: Shell) -> None:
    tar = layer_tar(
        a_layer(a_file("Files/Windows/win.ini", b"newer"), a_file("Files/old.txt", b"old"))
    )
    base = put(stored, "patched", tar, platform=NEWER)
    made = stored.run("rebase", "app:1", "--new-base", base, "-t", "app:2", environ=EPOCH)
    assert "it stands on base:1" in made.err
    found = stored.run("inspect", "app:2").document
    assert found["platform"]["os_version"] == "10.0.20348.9999"
    assert diff_ids(stored, "app:2") == [str(digest_bytes(tar)), str(digest_bytes(PLAIN_APP))]
    assert stored.run("cat", "app:2", "/Windows/win.ini").out == b"newer"
    # The image says what it stands on now.
    stored.run("pull", base, "--as", "base:2")
    again = stored.run("rebase", "app:2", "--new-base", "base:2", "-t", "app:3", environ=EPOCH)
    assert "it stands on" not in again.err


def test_rebase_lists_what_does_not_fit(stored: Shell) -> None:
    tar = layer_tar(a_layer(a_file("Files/app"), a_file("Files/Windows/win.ini")))
    base = put(stored, "patched", tar, platform=NEWER)
    arguments = ("rebase", "app:1", "--new-base", base, "-t", "app:2")
    refused = stored.run(*arguments, code=16)
    assert "error other-type: Files/app: would hide what is a file in the new base" in refused.err
    assert "note whiteout-idle: Files/old.txt" in refused.err
    assert stored.run(*arguments, "--force").code == 0
    older = put(
        stored, "older", PLAIN_BASE, platform=Platform("windows", "amd64", "", "10.0.17763.1")
    )
    assert "older than" in stored.run(*arguments[:3], older, "-t", "app:3", code=16).err
    alone = stored.run("rebase", "base:1", "--new-base", base, "-t", "app:3", code=2)
    assert "name it by --old-base" in alone.err
    wrong = stored.run(*arguments, "--old-base", base, code=2)
    assert "was not made of" in wrong.err


def test_old_base_is_not_guessed(stored: Shell) -> None:
    stored.run("append", "app:1", "--delete", "C:\\app\\run.exe", "-t", "app:2")
    base = put(stored, "patched", PLAIN_BASE, platform=NEWER)
    told = stored.run("rebase", "app:2", "--new-base", base, "-t", "app:3", code=2)
    assert "2 images have the layers that it stands on: app:1, base:1" in told.err
    # Of the same repository is the one that the new base stands for.
    stored.run("pull", base, "--as", "base:2")
    told = stored.run("rebase", "app:2", "--new-base", "base:2", "-t", "app:3")
    assert "it stands on base:1" in told.err
    newer = layer_tar(a_layer(a_file("Files/Windows/win.ini"), a_file("Files/old.txt")))
    stored.run("pull", put(stored, "patched", newer, platform=NEWER), "--as", "base:2")
    told = stored.run("rebase", "app:2", "--new-base", "base:2", "-t", "app:3")
    assert "it stands on base:1" in told.err
    assert diff_ids(stored, "app:3") == [str(digest_bytes(newer)), *diff_ids(stored, "app:2")[1:]]


def told_base(shell: Shell, name: str, digest: str) -> str:
    """An image that says what it stands on; its name."""
    parts = an_image([PLAIN_BASE, PLAIN_APP])
    manifest = edit_manifest(parts.manifest, annotations={BASE_NAME: name, BASE_DIGEST: digest})
    source = MemoryImages()
    put_image(source, ImageParts(manifest, parts.blobs))
    with LayoutSink(shell.folder / "layout", "told") as sink:
        copy_image(source, sink)
    return f"oci:{shell.folder}/layout:told"


def test_rebase_takes_the_old_base_that_an_image_tells(bare: Shell) -> None:
    base = put(bare, "base", PLAIN_BASE)
    digest = bare.run("inspect", base).document["digest"]
    image = told_base(bare, "127.0.0.1:1/base:1", digest)
    arguments = ("rebase", image, "--new-base", base, "--dry-run")
    away = bare.run(*arguments, code=19)
    assert f"it says that it stands on docker://127.0.0.1:1/base@{digest}" in away.err
    bare.run("pull", base, "--as", "mine:1")
    bare.run("pull", put(bare, "edited", PLAIN_BASE, platform=NEWER), "--as", "mine:2")
    assert len(bare.run(*arguments).lines) == 1  # by the digest, though two images have its layers


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("a/UPPER", "sha256:" + "0" * 64),
        ("a:1", "sha256:none"),
        ("a\x1b[31m", "md5:" + "0" * 32),
    ],
)
def test_base_that_cannot_be_is_told(bare: Shell, name: str, digest: str) -> None:
    image = told_base(bare, name, digest)
    told = bare.run("rebase", image, "--new-base", image, "--dry-run", code=2)
    assert "--old-base names another" in told.err
    assert "\x1b" not in told.err


def test_rebase_takes_the_new_base_of_an_index_that_fits(stored: Shell) -> None:
    from tests.support.memoryimages import put_index

    other = Platform("windows", "amd64", os_version="10.0.26100.1")
    source = MemoryImages()
    put_index(source, [(an_image([PLAIN_BASE], one), one) for one in (other, NEWER)])
    with LayoutSink(stored.folder / "layout", "multi") as sink:
        copy_image(source, sink, all_platforms=True)
    arguments = (
        "rebase",
        "app:1",
        "--new-base",
        f"oci:{stored.folder}/layout:multi",
        "-t",
        "app:2",
    )
    stored.run(*arguments)
    assert stored.run("inspect", "app:2").document["platform"]["os_version"] == NEWER.os_version
    stored.run(*arguments, "--base-platform", "windows/amd64:10.0.26100")
    assert stored.run("inspect", "app:2").document["platform"]["os_version"] == other.os_version


def test_squash_and_flatten_leave_what_shows(stored: Shell, files: Path) -> None:
    stored.run("append", "app:1", "-f", str(files), "-t", "app:2")
    shown = stored.run("ls", "-R", "app:2").lines
    for arguments in (["--layers", "2"], ["--from", "1"]):
        made = stored.run("squash", "app:2", *arguments, "-t", "small:1", environ=EPOCH)
        assert len(diff_ids(stored, "small:1")) == 2
        again = stored.run("squash", "app:2", *arguments, "--dry-run", environ=EPOCH)
        assert again.lines == made.lines
    stored.run("flatten", "app:2", "-t", "flat:1", "-m", "why")
    assert len(diff_ids(stored, "flat:1")) == 1
    for name in ("small:1", "flat:1"):
        assert stored.run("ls", "-R", name).lines == shown
    assert stored.run("check", "small:1").code == 0
    assert stored.run("history", "--json", "flat:1").rows[0]["comment"] == "why"


def with_delta(content: bytes) -> bytes:
    """A layer that changes the registry."""
    return layer_tar(a_layer(a_directory("Files"), a_file("Hives/Software_Delta", content)))


def test_registry_is_squashed_too(bare: Shell) -> None:
    tars = [
        with_delta(a_delta(a_path("Software", values=[dword(name, number)])))
        for number, name in enumerate(("One", "Two"))
    ]
    image = put(bare, "deltas", PLAIN_BASE, *tars)
    name = f"oci:{bare.folder}/layout:new"
    bare.run("squash", image, "--from", "1", "-t", name)
    delta = bare.run("cat", name, "--raw", "Hives/Software_Delta").out
    assert b"One" in delta
    assert b"Two" in delta


def test_registry_is_lost_only_where_that_is_asked_for(bare: Shell) -> None:
    image = put(bare, "deltas", PLAIN_BASE, with_delta(b"regf no. 1"), with_delta(b"regf no. 2"))
    name = f"oci:{bare.folder}/layout:new"
    arguments = ("squash", image, "--from", "1", "-t", name)
    assert "Software_Delta" in bare.run(*arguments, code=16).err
    bare.run("inspect", name, code=10)
    bare.run(*arguments, "--lose-registry-changes")
    assert bare.run("cat", name, "--raw", "Hives/Software_Delta").out == b"regf no. 2"


def test_squash_tells_what_is_wrong(stored: Shell) -> None:
    assert "either --from" in stored.run("squash", "app:1", "-t", "new", code=2).err
    both = stored.run("squash", "app:1", "--from", "1", "--layers", "1", "-t", "new", code=2)
    assert "either --from" in both.err
    for arguments in (["--from", "2"], ["--layers", "3"]):
        told = stored.run("squash", "app:1", *arguments, "-t", "new", code=2)
        assert "has layers 0 to 1" in told.err


def test_place_that_cannot_be_written_leaves_nothing(bare: Shell, app: str) -> None:
    arguments = ("config", app, "-u", "me", "-t")
    assert "nothing answers" in bare.run(*arguments, "docker://127.0.0.1:1/a:1", code=19).err
    bare.write("file", b"")
    # Windows says of a path through a file that the file is there already.
    code = 11 if sys.platform == "win32" else 10
    assert bare.run(*arguments, f"dir:{bare.folder}/file/inside", code=code).out == b""
    assert not bare.root.exists()


def test_password_goes_to_one_registry_only(bare: Shell) -> None:
    there, elsewhere = "docker://127.0.0.1:1/a:1", "docker://127.0.0.1:2/a:1"
    login = ("--creds", "somebody:secret")
    for arguments in (
        ("config", there, "-u", "me", "-t", elsewhere),
        ("append", there, "--delete", "/a", "-t", elsewhere),
        ("rebase", there, "--new-base", elsewhere, "--dry-run"),
        ("flatten", there, "-t", elsewhere),
    ):
        refused = bare.run(*arguments, *login, code=2)
        assert "127.0.0.1:1 and 127.0.0.1:2" in refused.err
        assert "secret" not in refused.err
