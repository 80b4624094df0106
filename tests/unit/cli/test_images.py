"""Images on the command line: what is told of them, and what is in the place where they were copied to."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import click
import pytest

from tests.unit.cli.harness import APP, BASE, Shell
from tests.unit.cli.images import an_image, put_layout
from winlayers.cli.session import Session
from winlayers.cli.storednames import complete_stored
from winlayers.oci.building import build_manifest, describe
from winlayers.oci.layout import LayoutSink
from winlayers.oci.model import Descriptor, digest_bytes

MANIFEST = str(an_image().manifest.digest)
OTHERS = "windows/amd64:10.0.17763.1 (ltsc2019), linux/amd64"


@pytest.fixture
def layout(bare: Shell) -> str:
    """An image of a layout: two builds of Windows and a Linux."""
    return put_layout(bare.folder / "layout")


def test_image_is_chosen_and_the_choice_is_told(bare: Shell, layout: str) -> None:
    result = bare.run("inspect", layout)
    assert result.document["manifest_digest"] == MANIFEST
    assert "took windows/amd64:10.0.20348.2113 (ltsc2022), the newest build" in result.err
    assert f"there are also {OTHERS}" in result.err
    old = bare.run("inspect", layout, "--platform", "windows:ltsc2019")
    assert "10.0.17763.1 (ltsc2019), the build that was asked for" in old.err
    quiet = bare.run("inspect", layout, "--platform", "linux", "-q")
    assert quiet.document["platform"]["os"] == "linux"
    assert quiet.err == ""
    missing = bare.run("inspect", layout, "--platform", "linux/arm64", code=10)
    assert "it has windows/amd64:10.0.17763.1" in missing.err
    assert "is not a platform" in bare.run("inspect", layout, "--platform", "a/b/c/d", code=2).err


def test_password_goes_to_one_registry_only(bare: Shell) -> None:
    names = ("docker://127.0.0.1:1/a:1", "docker://127.0.0.1:2/a:1")
    refused = bare.run("copy", *names, "--creds", "somebody:secret", code=2)
    assert "127.0.0.1:1 and 127.0.0.1:2" in refused.err
    assert "secret" not in refused.err
    same = bare.run("copy", names[0], "docker://127.0.0.1:1/b:1", "--creds", "u:p", code=19)
    assert "nothing answers" in same.err


def test_inspect_tells_layers_and_config(bare: Shell, layout: str) -> None:
    found = bare.run("inspect", layout).document
    assert found["name"] == layout
    assert found["platform"]["build"] == "ltsc2022"
    assert found["config"] == {"Env": ["NAME=value"], "Entrypoint": ["cmd.exe"]}
    assert [layer["diff_id"] for layer in found["layers"]] == [
        str(digest_bytes(BASE)),
        str(digest_bytes(APP)),
    ]
    assert found["size"] == sum(layer["size"] for layer in found["layers"])
    assert found["other_platforms"] == ["windows/amd64:10.0.17763.1", "linux/amd64"]


def test_inspect_gives_documents_byte_for_byte(bare: Shell, layout: str) -> None:
    index = bare.run("inspect", "--raw", layout).out
    assert hashlib.sha256(index).hexdigest() == bare.run("inspect", layout).document["digest"][7:]
    manifest = bare.run("inspect", "--raw", layout, "--platform", "windows").out
    assert manifest == an_image().manifest.raw
    config = bare.run("inspect", "--raw", "--config", layout).out
    assert digest_bytes(config) == an_image().manifest.config.digest
    assert bare.run("inspect", "--config", layout).document == json.loads(config)


def test_history_has_layers_with_their_steps(bare: Shell, layout: str) -> None:
    rows = bare.run("history", "--json", layout).rows
    assert [bool(row["layer"]) for row in rows] == [True, False, True]
    assert rows[0]["comment"] == "a comment"
    assert rows[2]["created"] == "2024-01-01T00:00:00Z"
    short, whole = bare.run("history", layout), bare.run("history", "--no-trunc", layout)
    assert short.lines[0].split() == ["CREATED", "CREATED", "BY", "SIZE", "LAYER", "COMMENT"]
    assert "…" in short.lines[1]
    assert "x" * 60 in whole.lines[1]
    assert "2024-01-01 00:00:00" in short.lines[3]


def test_manifest_ls_lists_an_index_or_the_one_image(bare: Shell, layout: str) -> None:
    rows = bare.run("manifest", "ls", "--json", layout).rows
    assert [row["platform"]["os_version"] for row in rows] == [
        "10.0.17763.1",
        "10.0.20348.2113",
        None,
    ]
    assert {row["kind"] for row in rows} == {"image"}
    assert "(ltsc2022)" in bare.run("manifest", "ls", layout).lines[2]
    bare.run("copy", layout, f"dir:{bare.folder / 'one'}")
    assert bare.run("manifest", "ls", f"dir:{bare.folder / 'one'}").lines[1].split()[:2] == [
        MANIFEST,
        "-",
    ]


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "dir"])
def test_copies_have_the_digests_of_the_original(bare: Shell, layout: str, transport: str) -> None:
    there = f"{transport}:{bare.folder / 'there'}"
    whole = bare.run("copy", "--all-platforms", layout, there)
    assert whole.lines == [bare.run("inspect", layout).document["digest"]]
    assert bare.run("inspect", "--raw", there).out == bare.run("inspect", "--raw", layout).out
    assert bare.run("copy", layout, there, "--preserve-digests").lines == [MANIFEST]


def test_copy_says_as_json_what_it_did(bare: Shell, layout: str) -> None:
    there = f"oci:{bare.folder / 'there'}:one"
    first = bare.run("copy", "--json", layout, there).document
    assert first["digest"] == MANIFEST
    assert first["documents"] == [MANIFEST]
    assert [blob["was_there"] for blob in first["blobs"]] == [False] * 3
    assert first["copied_size"] == sum(blob["size"] for blob in first["blobs"])
    again = bare.run("copy", "--json", layout, there, "-v")
    assert again.document["copied_size"] == 0
    assert again.err.count("is there already") == 3


def test_digest_that_would_be_lost_is_told_first(bare: Shell, layout: str) -> None:
    archive = f"docker-archive:{bare.folder / 'a.tar'}:app:1"
    assert (
        "digest would be lost"
        in bare.run("copy", "--preserve-digests", layout, archive, code=16).err
    )
    assert not (bare.folder / "a.tar").exists()
    bare.run("copy", layout, archive)
    assert bare.run("inspect", archive).document["image_id"] == str(
        an_image().manifest.config.digest
    )


def test_foreign_layers_become_ordinary(bare: Shell) -> None:
    image = an_image()
    foreign = [
        Descriptor(
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            layer.digest,
            layer.size,
            ("https://elsewhere.example/layer",),
        )
        for layer in image.manifest.layers
    ]
    manifest = build_manifest(image.manifest.config, foreign)
    with LayoutSink(bare.folder / "in", "foreign") as sink:
        for digest, blob in image.blobs.items():
            sink.put_blob(Descriptor("x", digest, len(blob)), io.BytesIO(blob))
        sink.put_document(manifest.raw, manifest.media_type)
        sink.commit(describe(manifest.raw, manifest.media_type))
    source, sink_name = f"oci:{bare.folder / 'in'}:foreign", f"oci:{bare.folder / 'out'}:plain"
    assert bare.run("copy", source, sink_name).lines == [str(manifest.digest)]
    result = bare.run("copy", "--foreign", "upload", source, sink_name)
    assert result.lines == [MANIFEST]
    assert f"{manifest.digest} became {MANIFEST}" in result.err
    bare.run("copy", "--foreign", "upload", "--preserve-digests", source, sink_name, code=16)


def test_pulled_image_is_listed_read_tagged_and_removed(bare: Shell, layout: str) -> None:
    assert bare.run("images").lines == []
    assert bare.run("pull", layout, "--as", "app:1").lines == [MANIFEST]
    (row,) = bare.run("images", "--json").rows
    assert (row["name"], row["digest"]) == ("docker.io/library/app:1", MANIFEST)
    assert row["layers"][-1] == digest_bytes(BASE).hex
    assert "ltsc2022" in bare.run("images").lines[1]
    assert MANIFEST in bare.run("images", "--no-trunc").lines[1]
    assert bare.run("cat", "app:1", "/License.txt").out == b"another license"
    bare.run("tag", "app:1", "localhost:5000/app:2")
    assert bare.run("images", "--names").lines == ["app:1", "localhost:5000/app:2"]
    assert "app:1 is no name any more" in bare.run("rmi", "app:1").err
    assert bare.run("cat", "localhost:5000/app:2", "/app/run.exe").out == b"MZ of the app"
    (removed,) = bare.run("rmi", "--json", "localhost:5000/app:2").rows
    assert len(removed["layers"]) == 2
    assert bare.run("layer", "ls", "-q").lines == []


def test_saved_images_are_loaded_with_their_digests(bare: Shell, layout: str) -> None:
    bare.run("pull", layout, "--as", "app:1")
    bare.run("tag", "app:1", "app:2")
    archive = bare.folder / "all.tar"
    bare.run("save", "-o", str(archive), "--format", "oci-archive", "app:1", "app:2")
    for name in ("app:1", "app:2"):
        assert bare.run("inspect", f"oci-archive:{archive}:{name}").document["digest"] == MANIFEST
    bare.run("save", "-o", str(archive), "app:1", "app:2")
    with tarfile.open(archive) as tar:
        listed = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
    assert [one["RepoTags"] for one in listed] == [["app:1", "app:2"]]
    other = Shell(bare.folder / "other", bare.folder)
    assert other.run("load", "-i", str(archive)).lines == ["app:1", "app:2"]
    assert [row["image_id"] for row in other.run("images", "--json").rows] == [
        str(an_image().manifest.config.digest)
    ] * 2
    assert other.run("cat", "app:2", "/app/run.exe").out == b"MZ of the app"
    assert [row["name"] for row in other.run("load", "--json", "-i", str(archive)).rows] == [
        "app:1",
        "app:2",
    ]


def test_images_by_their_digest_are_saved_without_a_name(bare: Shell, layout: str) -> None:
    bare.run("pull", layout, "--as", "app:1")
    archive = bare.folder / "one.tar"
    bare.run("save", "-o", str(archive), MANIFEST[7:19])
    assert "no image in" in bare.run("load", "-i", str(archive), code=10).err
    assert bare.run("pull", f"docker-archive:{archive}", "--as", "again").lines
    assert bare.run("images", "--names").lines == ["again:latest", "app:1"]
    whole = bare.run("save", "-o", str(archive), "--all-platforms", "app:1", code=2)
    assert "oci-archive" in whole.err


def test_commands_of_the_store_say_that_there_is_none(bare: Shell) -> None:
    for arguments in (
        ["tag", "a", "b"],
        ["rmi", "a"],
        ["push", "a"],
        ["save", "-o", "x", "a"],
        ["inspect", "a"],
    ):
        assert "there is no image in the store" in bare.run(*arguments, code=10).err
    assert not bare.root.exists()


def test_image_of_a_file_needs_a_name_in_the_store(bare: Shell, layout: str) -> None:
    assert "--as NAME" in bare.run("pull", layout, code=2).err


def test_shell_completes_names_of_the_store(bare: Shell, layout: str) -> None:
    parameter = click.Argument(["image"])
    context = click.Context(click.Command("x"), obj=Session(root=bare.root))
    assert complete_stored(context, parameter, "") == []
    bare.run("pull", layout, "--as", "app:1")
    assert [item.value for item in complete_stored(context, parameter, "ap")] == ["app:1"]
    assert complete_stored(context, parameter, "b") == []


# -- as a TARGET -------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive", "dir"])
def test_image_elsewhere_is_looked_into_and_not_pulled(
    bare: Shell, layout: str, transport: str
) -> None:
    there = f"{transport}:{bare.folder / 'there'}"
    bare.run("copy", layout, there)
    assert bare.run("cat", there, "/License.txt").out == b"another license"
    assert bare.run("cat", there, "/Windows/win.ini").out == b"[fonts]"
    assert "ea.dat" not in bare.run("ls", there, "/Windows").lines
    assert bare.run("stat", "--json", there, "/app/run.exe").document["size"] == 13
    assert "app/run.exe" in "".join(bare.run("find", there, "*.exe").lines)
    assert not (bare.root / "windowsfilter").exists()
    assert list((bare.root / "tmp").iterdir()) == []


def test_builds_of_an_index_are_compared(bare: Shell, layout: str) -> None:
    old = f"oci:{bare.folder / 'old'}"
    bare.run("copy", layout, old, "--platform", "windows:ltsc2019")
    lines = bare.run("diff-tree", old, layout).lines
    assert "A /app/run.exe" in lines
    assert "D /Windows/ea.dat" in lines


def test_layers_that_the_store_has_are_not_fetched(
    bare: Shell, layout: str, tmp_path: Path
) -> None:
    bare.run("pull", layout, "--as", "app:1")
    for blob in an_image().manifest.layers:
        (tmp_path / "layout" / "blobs" / "sha256" / blob.digest.hex).unlink()
    assert bare.run("cat", layout, "/app/run.exe").out == b"MZ of the app"


def test_layer_by_its_whole_id_comes_before_an_image(bare: Shell, layout: str) -> None:
    bare.run("pull", layout, "--as", "base")
    bare.run("layer", "import", "base", bare.write("base.tar", BASE))
    assert bare.run("cat", "base", "/License.txt").out == b"the license"
    assert bare.run("cat", "base:latest", "/License.txt").out == b"another license"
    assert bare.run("cat", digest_bytes(BASE).hex[:9], "/License.txt").out == b"the license"


def test_damaged_image_is_refused(bare: Shell, layout: str, tmp_path: Path) -> None:
    blob = an_image().manifest.layers[1]
    path = tmp_path / "layout" / "blobs" / "sha256" / blob.digest.hex
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert f"blob {blob.digest}" in bare.run("ls", layout, code=15).err
    bare.run("copy", layout, f"oci:{tmp_path / 'there'}:x", code=15)
    bare.run("pull", layout, "--as", "x", code=15)
    assert bare.run("images", "--json").lines == []


def test_what_is_no_image_is_not_looked_into(bare: Shell) -> None:
    statement, empty = b"{}", b"{ }"
    manifest = build_manifest(
        describe(empty, "application/vnd.oci.empty.v1+json"),
        [describe(statement, "application/vnd.in-toto+json")],
    )
    with LayoutSink(bare.folder / "in", "x") as sink:
        for blob in (statement, empty):
            sink.put_blob(describe(blob, "x"), io.BytesIO(blob))
        sink.put_document(manifest.raw, manifest.media_type)
        sink.commit(describe(manifest.raw, manifest.media_type))
    assert "no layers of files" in bare.run("ls", f"oci:{bare.folder / 'in'}:x", code=16).err
