"""Names of images: spelled as skopeo spells them, refused in words that help."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from winlayers.cli.imagenames import (
    TRANSPORTS,
    ImageName,
    complete_image,
    is_image_name,
    parse_image_name,
)
from winlayers.errors import InvalidReference, Unsupported


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("docker://host:5000/a/b:tag", ImageName("docker", "host:5000/a/b:tag")),
        ("oci:dir", ImageName("oci", "dir")),
        ("oci:/a/b:tag", ImageName("oci", "/a/b", "tag")),
        ("oci:C:\\images:tag", ImageName("oci", "C:\\images", "tag")),
        ("oci:C:/images", ImageName("oci", "C:/images")),
        ("oci-archive:a.tar:host:5000/b:tag", ImageName("oci-archive", "a.tar", "host:5000/b:tag")),
        ("docker-archive:a.tar:@0", ImageName("docker-archive", "a.tar", "@0")),
        ("dir:with:colon", ImageName("dir", "with:colon")),
        ("store:nano:ltsc2022", ImageName("store", "nano:ltsc2022")),
        ("nano:ltsc2022", ImageName("store", "nano:ltsc2022")),
        ("nano", ImageName("store", "nano")),
    ],
)
def test_name_is_read(text: str, name: ImageName) -> None:
    assert parse_image_name(text) == name
    if text.partition(":")[0] in TRANSPORTS:
        assert str(name) == text


@pytest.mark.parametrize("text", ["", "docker:host/a", "docker://", "oci:", "oci::tag", "store:"])
def test_name_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        parse_image_name(text)


def test_transports_of_other_programs_say_what_to_do() -> None:
    with pytest.raises(Unsupported, match="save the image with 'docker save'"):
        parse_image_name("docker-daemon:app:1")
    assert is_image_name("containers-storage:app")
    assert not is_image_name("nano:ltsc2022")


def completed(text: str) -> list[str]:
    command = click.Command("x")
    parameter = click.Argument(["image"])
    return [item.value for item in complete_image(click.Context(command), parameter, text)]


def test_shell_completes_transports_and_files(tmp_path: Path) -> None:
    (tmp_path / "images.tar").touch()
    (tmp_path / "import").mkdir()
    assert completed("oci") == ["oci:", "oci-archive:"]
    assert completed("d") == ["docker://", "docker-archive:", "dir:"]
    assert completed(f"oci-archive:{tmp_path}/im") == [
        f"oci-archive:{tmp_path}/images.tar",
        f"oci-archive:{tmp_path}/import/",
    ]
    assert completed(f"oci:{tmp_path}/missing/x") == []
    assert completed("docker://a") == []
