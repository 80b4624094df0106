"""Images between winlayers and real software: CNCF Distribution, skopeo, umoci and ctr, all on loopback."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import needs
from tests.e2e.imagesamples import APP, BASE, Image, an_image, windows, write_layout
from tests.e2e.registries import PASSWORD, USER, Registry, running_registry, serving_files
from winlayers.base.digest import Digest
from winlayers.oci.platform import Platform

pytestmark = pytest.mark.e2e
SECONDS = 60


class Shell:
    """Runs programs; winlayers on a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "store"
        self.errors = ""

    def run(self, *arguments: str | Path, code: int = 0, stdin: bytes = b"") -> str:
        """Run winlayers; what it printed. What it said is in ``errors``."""
        program = (sys.executable, "-m", "winlayers", "--root", self.root)
        return self._do((*program, *arguments), code, stdin, {})

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self.run(*arguments))

    def skopeo(self, *arguments: str | Path, **environment: str) -> str:
        needs("skopeo")
        return self._do(("skopeo", "--override-os", "windows", *arguments), 0, b"", environment)

    def umoci(self, *arguments: str | Path) -> str:
        needs("umoci")
        return self._do(("umoci", *arguments), 0, b"", {})

    def _do(
        self, command: tuple[str | Path, ...], code: int, stdin: bytes, environment: dict[str, str]
    ) -> str:
        done = subprocess.run(
            list(map(str, command)),
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={**os.environ, "HOME": str(self.folder), **environment},
        )
        self.errors = done.stderr.decode()
        assert done.returncode == code, f"{command}: {self.errors}"
        assert "Traceback" not in self.errors
        return done.stdout.decode()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with running_registry(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
def image(tmp_path: Path) -> Digest:
    """The digest of an image of two layers, in the layout ``images`` as ``app``."""
    return write_layout(tmp_path / "images", "app", an_image(BASE, APP, platform=BUILD_2022))


BUILD_2022 = windows("20348.2113")


def push_with_skopeo(shell: Shell, registry: Registry, *more: str, name: str = "win/app:1") -> None:
    images = shell.folder / "images"
    shell.skopeo(
        "copy",
        *more,
        "--dest-tls-verify=false",
        f"oci:{images}:app",
        f"docker://{registry.host}/{name}",
    )


def digest_by_skopeo(shell: Shell, registry: Registry, name: str) -> str:
    raw = shell.skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{registry.host}/{name}")
    return "sha256:" + hashlib.sha256(raw.encode()).hexdigest()


def test_what_skopeo_pushed_is_pulled_and_pushed_again(
    shell: Shell, registry: Registry, image: Digest
) -> None:
    push_with_skopeo(shell, registry)
    assert shell.run("pull", f"{registry.host}/win/app:1").split() == [str(image)]
    assert shell.run("ls", f"{registry.host}/win/app:1", "C:\\Windows").split() == [
        "System32",
        "win.ini",
    ]
    assert shell.run("cat", f"{registry.host}/win/app:1", "/app/app.exe").startswith("MZ")
    shell.run("tag", f"{registry.host}/win/app:1", f"{registry.host}/win/again:2")
    shell.run("push", f"{registry.host}/win/again:2")
    assert digest_by_skopeo(shell, registry, "win/again:2") == str(image)
    there = shell.json("inspect", f"docker://{registry.host}/win/again:2")
    assert there["digest"] == str(image)
    for layer in there["layers"]:
        exported = shell.folder / "layer.tar"
        chain = shell.json("layer", "inspect", _chain_id(there, layer), "--json")
        shell.run("layer", "export", chain["id"], "-o", exported)
        assert layer["diff_id"] == "sha256:" + hashlib.sha256(exported.read_bytes()).hexdigest()


def _chain_id(inspected: dict[str, Any], wanted: dict[str, Any]) -> str:
    chain = ""
    for layer in inspected["layers"]:
        chain = (
            layer["diff_id"]
            if not chain
            else "sha256:" + hashlib.sha256(f"{chain} {layer['diff_id']}".encode()).hexdigest()
        )
        if layer is wanted:
            break
    return chain.removeprefix("sha256:")


def test_what_is_pushed_skopeo_pulls(shell: Shell, registry: Registry, image: Digest) -> None:
    shell.run("copy", f"oci:{shell.folder}/images:app", f"docker://{registry.host}/win/app:1")
    shell.skopeo(
        "copy",
        "--src-tls-verify=false",
        f"docker://{registry.host}/win/app:1",
        f"dir:{shell.folder}/dir",
    )
    assert shell.run("inspect", "--raw", f"dir:{shell.folder}/dir").encode()
    manifest = (shell.folder / "dir" / "manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == image.hex
    assert shell.json("inspect", f"dir:{shell.folder}/dir")["digest"] == str(image)


def test_every_transport_keeps_the_digest(shell: Shell, registry: Registry, image: Digest) -> None:
    source = f"oci:{shell.folder}/images:app"
    for target in (
        f"docker://{registry.host}/win/app:1",
        f"oci-archive:{shell.folder}/archive.tar:app",
        f"dir:{shell.folder}/plain",
        f"oci:{shell.folder}/other:app",
    ):
        assert shell.run("copy", source, target).split() == [str(image)]
        assert shell.json("inspect", target)["digest"] == str(image)
        assert "app.exe" in shell.run("ls", target, "/app")
        source = target
    archive = shell.skopeo("inspect", "--raw", f"oci-archive:{shell.folder}/archive.tar:app")
    assert hashlib.sha256(archive.encode()).hexdigest() == image.hex


def test_index_of_builds_gives_the_one_that_is_asked_for(shell: Shell, registry: Registry) -> None:
    builds = ("17763.5000", "20348.2113", "26100.100")
    images: list[Image] = [
        an_image(BASE, APP + bytes(512 * n), platform=windows(build))
        for n, build in enumerate(builds)
    ]
    images.append(an_image(BASE, platform=Platform("linux", "amd64")))
    top = write_layout(shell.folder / "images", "app", *images)
    push_with_skopeo(shell, registry, "--all")
    name = f"{registry.host}/win/app:1"
    listed = shell.run("manifest", "ls", f"docker://{name}")
    assert all(build in listed for build in builds)
    assert "linux" in listed
    for image, build in zip(images[:3], builds, strict=True):
        number = build.split(".")[0]
        pulled = shell.run(
            "pull", name, "--platform", f"windows/amd64:10.0.{number}", "--as", f"one:{number}"
        )
        assert pulled.split() == [str(image.manifest.digest)]
        assert build in shell.errors
        assert any(other in shell.errors for other in builds if other != build)
    shell.run("pull", name, "--platform", "windows/amd64:10.0.14393", code=10)
    assert shell.run("pull", name, "--all-platforms").split() == [str(top)]
    shell.run("push", name, f"{registry.host}/copy/all:1", "--all-platforms")
    assert digest_by_skopeo(shell, registry, "copy/all:1") == str(top)
    assert shell.run("pull", name, "--platform", "linux/amd64", "--as", "one:linux").split() == [
        str(images[3].manifest.digest)
    ]


def test_foreign_layer_comes_from_its_url(shell: Shell, registry: Registry, tmp_path: Path) -> None:
    with serving_files(tmp_path / "elsewhere") as url:
        (tmp_path / "elsewhere").mkdir()
        image = an_image(BASE, APP, platform=BUILD_2022, url=url, is_docker=True)
        for digest in image.foreign:
            (tmp_path / "elsewhere" / digest.hex).write_bytes(image.blobs[digest])
        top = write_layout(tmp_path / "images", "app", image)
        source, name = f"oci:{tmp_path}/images:app", f"{registry.host}/foreign/app:1"
        shell.run("copy", source, f"docker://{name}")
        assert shell.run("pull", name).split() == [str(top)]
        assert "kernel32.dll" in shell.run("ls", name, "/Windows/System32")
        shell.run("push", name, f"{registry.host}/foreign/again:1")
        assert digest_by_skopeo(shell, registry, "foreign/again:1") == str(top)
        ordinary = shell.run(
            "push", name, f"{registry.host}/own/app:1", "--foreign", "upload"
        ).split()
        assert ordinary != [str(top)]
    layers = shell.json("inspect", f"docker://{registry.host}/own/app:1")["layers"]
    assert [layer["is_foreign"] for layer in layers] == [False, False]
    other = Shell(tmp_path / "other")
    (tmp_path / "other").mkdir()
    assert other.run("pull", f"{registry.host}/own/app:1").split() == ordinary  # its URL is gone


def test_mirror_is_asked_first_and_the_registry_for_the_rest(
    shell: Shell, registry: Registry, image: Digest, tmp_path: Path
) -> None:
    source = f"oci:{tmp_path}/images:app"
    with running_registry(tmp_path / "mirror") as mirror:
        shell.run("copy", source, f"docker://{mirror.host}/kept/win/app:mirrored")
        asked = ("--mirror", f"{mirror.host}/kept")
        pulled = shell.run("pull", f"{registry.host}/win/app:mirrored", *asked)
        assert pulled.split() == [str(image)]
        shell.run("copy", source, f"docker://{registry.host}/win/app:own")
        out = f"oci:{tmp_path}/out:1"
        copied = shell.run("copy", f"docker://{registry.host}/win/app:own", out, *asked)
        assert copied.split() == [str(image)]
        shell.run("copy", f"docker://{registry.host}/win/app:no", out, *asked, code=10)


def test_registry_with_password_and_tls(shell: Shell, image: Digest, tmp_path: Path) -> None:
    with running_registry(tmp_path / "safe", with_password=True, with_tls=True) as registry:
        assert registry.certificate is not None
        certificates = tmp_path / "certs"
        certificates.mkdir()
        (certificates / "ca.crt").write_bytes(registry.certificate.read_bytes())
        trusted = ("--cert-dir", certificates)
        name = f"docker://{registry.host}/win/app:1"
        source = f"oci:{tmp_path}/images:app"
        shell.run("copy", source, name, code=19)  # a certificate of nobody
        assert "certificate" in shell.errors.lower()
        shell.run("copy", source, name, *trusted, code=17)
        shell.run("copy", source, name, *trusted, "--creds", f"{USER}:wrong", code=17)
        assert "wrong" not in shell.errors
        login = f"{USER}:{PASSWORD}".encode()
        shell.run("copy", source, name, *trusted, "--creds-stdin", stdin=login)
        auth = tmp_path / "auth.json"
        shell.skopeo(
            *("login", "--tls-verify=false", "--authfile", auth, "-u", USER, "-p", PASSWORD),
            registry.host,
        )
        pulled = shell.run("pull", name.removeprefix("docker://"), *trusted, "--authfile", auth)
        assert pulled.split() == [str(image)]
        shell.run("-v", "inspect", name, *trusted, "--authfile", auth)
        assert PASSWORD not in shell.errors
        own = ("--src-cert-dir", certificates, "--src-creds", login.decode())
        with running_registry(tmp_path / "open") as other:
            there = f"docker://{other.host}/win/app:1"
            copied = shell.run("copy", name, there, *own, "--dest-no-creds")
            assert copied.split() == [str(image)]
            shell.run("copy", there, name, *own, code=19)  # they are about the source alone
    kept = [path for path in shell.root.rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in path.read_bytes() for path in kept)


def test_load_and_save_are_those_of_docker(shell: Shell, image: Digest) -> None:
    source = f"oci:{shell.folder}/images:app"
    shell.run("pull", source, "--as", "app:1")
    shell.run("save", "app:1", "-o", shell.folder / "saved.tar")
    with tarfile.open(shell.folder / "saved.tar") as saved:
        assert {"manifest.json", "oci-layout", "index.json"} <= set(saved.getnames())
    assert shell.json("inspect", f"docker-archive:{shell.folder}/saved.tar")["digest"] == str(image)
    assert shell.json("inspect", f"oci-archive:{shell.folder}/saved.tar")["digest"] == str(image)
    seen = json.loads(shell.skopeo("inspect", f"docker-archive:{shell.folder}/saved.tar"))
    assert (seen["Os"], seen["Architecture"], len(seen["Layers"])) == ("windows", "amd64", 2)
    shell.skopeo("copy", source, f"docker-archive:{shell.folder}/skopeo.tar:other:2")
    shell.run("load", "-i", shell.folder / "skopeo.tar")
    shell.run("load", "-i", shell.folder / "saved.tar")
    rows = {row["name"]: row for row in map(json.loads, shell.run("images", "--json").splitlines())}
    assert any(name.endswith("other:2") for name in rows)
    loaded = next(name for name in rows if name.endswith("other:2"))
    assert "win.ini" in shell.run("ls", loaded, "/Windows")
    mine = shell.json("inspect", "app:1")
    assert [layer["diff_id"] for layer in shell.json("inspect", loaded)["layers"]] == [
        layer["diff_id"] for layer in mine["layers"]
    ]


def test_archive_of_skopeo_is_loaded_through_a_pipe(shell: Shell, image: Digest) -> None:
    archive = shell.folder / "skopeo.tar"
    shell.skopeo("copy", f"oci:{shell.folder}/images:app", f"oci-archive:{archive}:piped:1")
    packed = gzip.compress(archive.read_bytes(), 1)
    for content in (archive.read_bytes(), packed):
        assert shell.run("load", stdin=content).split() == ["piped:1"]
        assert shell.json("inspect", "piped:1")["digest"] == str(image)
        shell.run("rmi", "piped:1")


def test_foreign_layer_that_a_layout_lacks_comes_from_its_url(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    with serving_files(folder) as url:
        image = an_image(BASE, APP, platform=BUILD_2022, url=url)
        top = write_layout(tmp_path / "images", "app", image)
        for digest in image.foreign:
            (tmp_path / "images" / "blobs" / "sha256" / digest.hex).unlink(missing_ok=True)
        source = f"oci:{tmp_path}/images:app"
        shell.run("pull", source, "--as", "app:1", code=10)
        for digest in image.foreign:
            (folder / digest.hex).write_bytes(image.blobs[digest])
        assert shell.run("pull", source, "--as", "app:1").split() == [str(top)]
    assert "kernel32.dll" in shell.run("ls", "app:1", "/Windows/System32")


def test_umoci_unpacks_what_is_written(shell: Shell, registry: Registry, image: Digest) -> None:
    push_with_skopeo(shell, registry)
    shell.run("copy", f"docker://{registry.host}/win/app:1", f"oci:{shell.folder}/out:app")
    shell.umoci("stat", "--image", f"{shell.folder}/out:app", "--json")
    shell.umoci("raw", "unpack", "--image", f"{shell.folder}/out:app", shell.folder / "raw")
    assert (shell.folder / "raw/Files/app/app.exe").read_bytes().startswith(b"MZ")
    assert not (shell.folder / "raw/Files/Windows/win2.ini").exists()


def test_second_pull_fetches_nothing_and_removal_leaves_what_is_shared(
    shell: Shell, registry: Registry
) -> None:
    images = shell.folder / "images"
    write_layout(images, "app", an_image(BASE, APP, platform=BUILD_2022))
    push_with_skopeo(shell, registry, name="win/one:1")
    write_layout(images, "app", an_image(BASE, platform=BUILD_2022))
    push_with_skopeo(shell, registry, name="win/two:1")
    shell.run("pull", f"{registry.host}/win/one:1")
    shell.run("pull", f"{registry.host}/win/two:1")
    assert "1 there already" in shell.errors  # the base layer; the config is another
    assert len(shell.run("layer", "ls", "--json").splitlines()) == 2
    shell.run("rmi", f"{registry.host}/win/one:1")
    assert len(shell.run("layer", "ls", "--json").splitlines()) == 1
    assert "win.ini" in shell.run("ls", f"{registry.host}/win/two:1", "/Windows")
    shell.run("rmi", f"{registry.host}/win/two:1")
    assert shell.run("layer", "ls", "--json") == ""
    assert [path for path in (shell.root / "blobs").rglob("*") if path.is_file()] == []
