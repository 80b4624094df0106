"""Images that winlayers makes, in a real registry, read by skopeo and umoci, and pulled back."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.imagesamples import BASE, an_image, windows, write_layout
from tests.e2e.registries import Registry, running_registry, serving_files
from tests.e2e.test_images import Shell, digest_by_skopeo
from tests.support.builders import a_file, a_layer, layer_tar

pytestmark = pytest.mark.e2e

PATCHED = layer_tar(
    a_layer(
        a_file("Files/Windows/System32/kernel32.dll", b"patched" * 1000),
        a_file("Files/Windows/win.ini", b"; patched\r\n"),
    )
)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Runs programs at a fixed time."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    return Shell(tmp_path)


@pytest.fixture
def registry(shell: Shell) -> Iterator[Registry]:
    """A registry with two bases of a build: ``win/base:1``, and ``win/base:2`` with patches."""
    images = shell.folder / "images"
    write_layout(images, "base1", an_image(BASE, platform=windows("20348.2113")))
    write_layout(images, "base2", an_image(PATCHED, platform=windows("20348.2200")))
    with running_registry(shell.folder / "registry") as registry:
        for number in (1, 2):
            target = f"docker://{registry.host}/win/base:{number}"
            shell.run("copy", f"oci:{images}:base{number}", target)
        yield registry


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of plain files."""
    folder = tmp_path / "files"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "app.exe").write_bytes(b"MZ" + bytes(3000))
    (folder / "app.ini").write_bytes(b"mode=quiet\r\n")
    return folder


def other_store(shell: Shell) -> Shell:
    """The same programs on another store."""
    folder = shell.folder / "elsewhere"
    folder.mkdir(exist_ok=True)
    return Shell(folder)


def config_by_skopeo(shell: Shell, name: str) -> dict[str, Any]:
    """The config of an image in a registry."""
    text = shell.skopeo("inspect", "--config", "--tls-verify=false", name)
    config: dict[str, Any] = json.loads(text)
    return config


def check_everywhere(shell: Shell, registry: Registry, repository: str, printed: str) -> Path:
    """See that skopeo copies an image, umoci unpacks it, and another store shows the same; what was unpacked."""
    name = f"{registry.host}/{repository}"
    digest = printed.strip()
    assert digest_by_skopeo(shell, registry, repository) == digest
    place = shell.folder / f"out-{repository.replace('/', '-').replace(':', '-')}"
    shell.skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{place}:it")
    assert shell.json("inspect", f"oci:{place}:it")["digest"] == digest
    shell.umoci("stat", "--image", f"{place}:it", "--json")
    shell.umoci("raw", "unpack", "--image", f"{place}:it", place / "raw")
    other = other_store(shell)
    assert other.run("pull", name).strip() == digest
    there = shell.run("ls", "-lR", f"docker://{name}")
    assert "Windows" in there
    assert other.run("ls", "-lR", name) == there
    # What is one layer is a base layer, which without hives is none that Windows takes.
    other.run("check", name, code=0 if len(other.json("inspect", name)["layers"]) > 1 else 3)
    return place / "raw"


def test_append_and_config_in_a_registry(shell: Shell, registry: Registry, files: Path) -> None:
    base, app = f"docker://{registry.host}/win/base:1", f"docker://{registry.host}/team/app"
    made = shell.run("append", base, "-f", files, "--to", "C:\\app", "-t", f"{app}:1")
    assert "2 blobs" in shell.errors  # the base layer is taken over from the other repository
    assert "1 there already" in shell.errors
    raw = check_everywhere(shell, registry, "team/app:1", made)
    assert (raw / "Files/app/bin/app.exe").read_bytes() == b"MZ" + bytes(3000)
    edits = ("-e", "MODE=quiet", "--entrypoint", '["C:\\\\app\\\\bin\\\\app.exe"]', "-u", "me")
    edited = shell.run("config", f"{app}:1", *edits, "-t", f"{app}:2")
    assert "1 blob" in shell.errors
    assert "2 there already" in shell.errors
    config = config_by_skopeo(shell, f"{app}:2")
    assert config["config"] == {
        "User": "me",
        "Env": ["MODE=quiet"],
        "Entrypoint": ["C:\\app\\bin\\app.exe"],
    }
    assert config["os.version"] == "10.0.20348.2113"
    assert len(config["history"]) == 3
    check_everywhere(shell, registry, "team/app:2", edited)
    assert not shell.root.joinpath("windowsfilter").exists()  # no store was needed


def test_commit_of_a_scratch_is_pushed(shell: Shell, registry: Registry, files: Path) -> None:
    base = f"{registry.host}/win/base:1"
    shell.run("pull", base)
    shell.run("layer", "create", "work", "--parent", base)
    shell.run("cp", f"{files}/bin/app.exe", "work:C:\\Windows")
    made = shell.run("commit", "work", "app:1", "-m", "by hand", "-c", "CMD app.exe")
    assert "it stands on" in shell.errors
    shell.run("push", "app:1", f"{registry.host}/team/app:1")
    raw = check_everywhere(shell, registry, "team/app:1", made)
    assert (raw / "Files/Windows/app.exe").is_file()
    straight = shell.run(
        *("commit", "work", f"docker://{registry.host}/team/app:2", "-m", "by hand"),
        *("-c", "CMD app.exe"),
    )
    assert straight == made
    chain = shell.json("inspect", f"docker://{registry.host}/team/app:2")
    exported = shell.run("layer", "commit", "work", "work-layer").strip()
    assert chain["layers"][-1]["diff_id"] == exported


def test_rebase_squash_and_flatten(shell: Shell, registry: Registry, files: Path) -> None:
    base, app = f"docker://{registry.host}/win/base", f"docker://{registry.host}/team/app"
    shell.run("append", f"{base}:1", "-f", files, "-f", files / ".." / "more", "--dry-run", code=2)
    more = files.parent / "more"
    more.mkdir()
    (more / "more.txt").write_bytes(b"more")
    sources = ("-f", files, "-f", more, "--delete", "C:\\Docs")
    shell.run("append", f"{base}:1", *sources, "-t", f"{app}:1")
    refused = ("rebase", f"{app}:1", "--new-base", f"{base}:2", "-t", f"{app}:2")
    shell.run(*refused, code=2)
    assert "name it by --old-base" in shell.errors
    made = shell.run(*refused, "--old-base", f"{base}:1")
    assert "whiteout-idle: Files/Docs" in shell.errors
    raw = check_everywhere(shell, registry, "team/app:2", made)
    assert (raw / "Files/Windows/win.ini").read_bytes() == b"; patched\r\n"
    assert config_by_skopeo(shell, f"{app}:2")["os.version"] == "10.0.20348.2200"
    # What the image says of its base is enough to put it back.
    shell.run("rebase", f"{app}:2", "--new-base", f"{base}:1", "-t", f"{app}:3")
    assert f"it says that it stands on {base}@sha256:" in shell.errors
    squashed = shell.run("squash", f"{app}:1", "--layers", "2", "-t", f"{app}:small")
    raw = check_everywhere(shell, registry, "team/app:small", squashed)
    assert (raw / "Files/more.txt").read_bytes() == b"more"
    flat = shell.run("flatten", f"{app}:1", "-t", f"{app}:flat")
    raw = check_everywhere(shell, registry, "team/app:flat", flat)
    assert (raw / "Files/Windows/win.ini").is_file()
    assert not list(raw.rglob(".wh.*"))
    shown = {shell.run("ls", "-R", f"{app}:{tag}") for tag in ("1", "3", "small", "flat")}
    assert len(shown) == 1
    counts = [
        len(shell.json("inspect", f"{app}:{tag}")["layers"]) for tag in ("1", "small", "flat")
    ]
    assert counts == [3, 2, 1]


def test_same_input_has_the_same_digest_in_another_store(
    shell: Shell, registry: Registry, files: Path
) -> None:
    other = other_store(shell)
    base = f"{registry.host}/win/base:1"
    for one in (shell, other):
        one.run("pull", base)
    found = []
    for one, source in ((shell, base), (other, f"docker://{base}")):
        appended = one.run("append", source, "-f", files, "-t", "app:1")
        edited = one.run("config", "app:1", "-e", "A=b", "-t", "app:2")
        more = one.run("append", "app:2", "--delete", "C:\\app.ini", "-t", "app:3")
        squashed = one.run("squash", "app:3", "--from", "1", "-t", "app:4")
        flat = one.run("flatten", "app:3", "--compression", "zstd", "-t", "app:5")
        bases = ("--old-base", base, "--new-base", f"docker://{registry.host}/win/base:2")
        rebased = one.run("rebase", "app:3", *bases, "-t", "app:6")
        found.append([appended, edited, more, squashed, flat, rebased])
    assert found[0] == found[1]
    assert len(set(found[0])) == 6


@pytest.mark.parametrize("seconds", [0.4, 0.8, 1.2, 1.6])
def test_killed_while_it_makes_an_image(
    shell: Shell, registry: Registry, files: Path, seconds: float
) -> None:
    base = f"{registry.host}/win/base:1"
    shell.run("pull", base)
    (files / "large.bin").write_bytes(random.Random(1).randbytes(40 << 20))
    append = ("append", base, "-f", str(files), "-t", "app:1")
    program = (sys.executable, "-m", "winlayers", "--root", str(shell.root))
    with subprocess.Popen(
        [*program, *append], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    names = [row["name"] for row in map(json.loads, shell.run("images", "--json").splitlines())]
    # It may have been killed between its last step and its end.
    assert len(names) in ((1, 2) if process.returncode else (2,))
    made = shell.run(*append)
    assert shell.run("append", base, "-f", files, "--dry-run") == made
    assert shell.run("cat", "app:1", "/app.ini") == "mode=quiet\r\n"
    shell.run("store", "check")
    shell.run("rmi", "app:1")
    shell.run("rmi", base)
    left = [path for path in (shell.root / "blobs").rglob("*") if path.is_file()]
    assert left == []


def test_foreign_base_of_docker_stays_so(shell: Shell, registry: Registry, files: Path) -> None:
    elsewhere = shell.folder / "elsewhere-files"
    elsewhere.mkdir()
    with serving_files(elsewhere) as url:
        image = an_image(BASE, platform=windows("20348.2113"), url=url, is_docker=True)
        for digest in image.foreign:
            (elsewhere / digest.hex).write_bytes(image.blobs[digest])
        write_layout(shell.folder / "images", "foreign", image)
        app = f"docker://{registry.host}/foreign/app"
        shell.run("copy", f"oci:{shell.folder}/images:foreign", f"{app}:1")
        made = shell.run("append", f"{app}:1", "-f", files, "-t", f"{app}:2").strip()
        assert digest_by_skopeo(shell, registry, "foreign/app:2") == made
        other = other_store(shell)
        assert other.run("pull", f"{registry.host}/foreign/app:2").strip() == made
        assert "app.ini" in other.run("ls", f"{registry.host}/foreign/app:2")
    layers = shell.json("inspect", f"{app}:2")["layers"]
    assert [layer["is_foreign"] for layer in layers] == [True, False]
    kind = "application/vnd.docker.image.rootfs"
    assert [layer["media_type"] for layer in layers] == [
        f"{kind}.foreign.diff.tar.gzip",
        f"{kind}.diff.tar.gzip",
    ]
