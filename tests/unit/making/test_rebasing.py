"""Own layers go on another base by the rules, and what does not fit is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.builders import (
    Layer,
    a_directory,
    a_file,
    a_layer,
    a_link,
    a_table,
    a_view,
    a_whiteout,
)
from tests.support.hives import a_delta, a_key
from tests.support.layeredimages import an_image, copied, tables_of
from tests.support.memoryimages import WINDOWS
from winlayers.errors import InvalidArgument, Unsupported, WrongPlatform
from winlayers.layer.merge import MergedView
from winlayers.making.image import BaseImage, MadeImage, open_image
from winlayers.making.rebasing import Conflict, RebaseViews, find_base, rebase_image
from winlayers.oci.platform import Platform

OLD = a_layer(a_file("Files/a", b"old"), a_file("Files/b"), a_file("Files/c", b"same"))
NEW = a_layer(a_file("Files/a", b"newer"), a_file("Files/c", b"same"))
OWN = a_layer(a_file("Files/own", b"own"))
NEWER_BUILD = replace(WINDOWS, os_version="10.0.26100.1")
NEWER_REVISION = replace(WINDOWS, os_version="10.0.20348.9999")
DELTA = a_file("Hives/Software_Delta", a_delta(a_key("ROOT", a_key("Key"))))


def rebased(
    own: Layer,
    *,
    platform: Platform = NEWER_BUILD,
    settings: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = ({}, {}, {}),
    force: bool = False,
    conflicts: list[Conflict] | None = None,
    new: Layer = NEW,
) -> MadeImage:
    ours, before, theirs = settings
    told: list[Conflict] = [] if conflicts is None else conflicts
    return rebase_image(
        an_image(OLD, own, settings=ours),
        an_image(OLD, settings=before),
        an_image(new, platform=platform, settings=theirs),
        RebaseViews(tables_of([OLD, own])[:1], a_view(OLD), MergedView([a_table("new", new)])),
        now_seconds=1,
        created_by="rebase",
        base_name="example.com/base:1",
        force=force,
        on_conflict=told.append,
    )


def kinds(own: Layer, **options: Any) -> list[tuple[str, str]]:
    conflicts: list[Conflict] = []
    rebased(own, conflicts=conflicts, **options)
    return [(one.kind.value, one.path) for one in conflicts]


def test_own_layers_stand_on_the_new_base() -> None:
    made = rebased(OWN)
    new = open_image(copied(made))
    image, base = an_image(OLD, OWN), an_image(NEW, platform=NEWER_BUILD)
    assert new.manifest.layers == (base.manifest.layers[0], image.manifest.layers[1])
    assert new.config.platform == NEWER_BUILD
    created_by = [step["created_by"] for step in new.config.history]
    assert created_by == ["layer 0", "layer 1", "rebase"]
    assert new.manifest.annotations == {
        "org.opencontainers.image.base.digest": str(base.manifest.digest),
        "org.opencontainers.image.base.name": "example.com/base:1",
    }
    assert rebased(OWN).manifest.digest == made.manifest.digest


def test_settings_are_merged_of_three() -> None:
    before = {"Env": ["Path=old", "A=1", "B=1"], "User": "a", "Cmd": ["old"]}
    ours = {"Env": ["Path=old", "A=2", "C=3"], "User": "a", "Cmd": ["own"]}
    theirs = {"Env": ["PATH=new", "A=1", "B=1"], "User": "b", "Cmd": ["new"], "ArgsEscaped": True}
    config = rebased(OWN, settings=(ours, before, theirs)).config
    assert config.setting("Env") == ["PATH=new", "A=2", "C=3"]
    assert config.setting("User") == "b"
    assert (config.setting("Cmd"), config.setting("ArgsEscaped")) == (["own"], None)


def test_what_may_not_fit_is_told() -> None:
    own = a_layer(a_file("Files/a", b"mine"), a_whiteout("Files/b"), a_link("Files/l", "Files/c"))
    assert kinds(own) == [("hides-newer-file", "Files/a"), ("whiteout-idle", "Files/b")]
    assert kinds(a_layer(a_link("Files/l", "Files/a"))) == [("link-target-changed", "Files/l")]


def test_link_whose_target_is_gone_is_refused_also_by_force() -> None:
    with pytest.raises(Unsupported, match="link-target-gone"):
        rebased(a_layer(a_link("Files/l", "Files/b")), force=True)


def test_directory_in_place_of_a_file_is_refused_unless_forced() -> None:
    own = a_layer(a_file("Files/x/y"))
    new = a_layer(a_file("Files/x"))
    with pytest.raises(Unsupported, match="other-type"):
        rebased(own, new=new)
    assert kinds(own, new=new, force=True) == [("other-type", "Files/x")]


def test_registry_of_another_build_is_refused_unless_forced() -> None:
    own = a_layer(a_directory("Hives"), DELTA)
    with pytest.raises(Unsupported, match="registry-of-other-build"):
        rebased(own)
    path = "Hives/Software_Delta"
    assert kinds(own, force=True) == [("registry-of-other-build", path)]
    assert kinds(own, platform=NEWER_REVISION) == [("registry-of-other-revision", path)]


@pytest.mark.parametrize(
    "platform",
    [
        replace(WINDOWS, os_version="10.0.17763.1"),
        replace(WINDOWS, os_version=""),
        replace(WINDOWS, architecture="arm64"),
    ],
)
def test_base_of_another_platform_is_refused(platform: Platform) -> None:
    with pytest.raises(WrongPlatform):
        rebased(OWN, platform=platform, force=True)


def test_image_of_another_base_is_refused_and_its_base_is_found() -> None:
    image, base = an_image(OLD, OWN), an_image(OLD)
    views = RebaseViews([], a_view(NEW), a_view(NEW))
    other: BaseImage = an_image(NEW)
    with pytest.raises(InvalidArgument, match="was not made of"):
        rebase_image(image, other, base, views, now_seconds=1, created_by="x")
    assert find_base(image.config, [other, base, image]) is base
    assert find_base(base.config, [image, other]) is None
