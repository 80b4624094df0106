"""What stands before and after the colon of an argument of ``cp``, and where a copy lands."""

from __future__ import annotations

import pytest

from winlayers.cli.copyplaces import HostPlace, LayerPlace, lands_inside, parse_place
from winlayers.errors import InvalidArgument, IsADirectory, NotADirectory, PathNotFound


@pytest.mark.parametrize(
    ("text", "target", "path", "name", "parent"),
    [
        ("app:/Windows/win.ini", "app", "/Windows/win.ini", "win.ini", "/Windows/"),
        (r"app:C:\Windows\win.ini", "app", r"C:\Windows\win.ini", "win.ini", "C:\\Windows\\"),
        ("app:c:/a", "app", "c:/a", "a", "c:/"),
        ("app:C:", "app", "C:", "", "C:"),
        ("app:C:\\", "app", "C:\\", "", "C:"),
        ("app:", "app", "", "", ""),
        ("app:/", "app", "/", "", ""),
        ("app:a", "app", "a", "a", ""),
        ("app:a/.", "app", "a/.", "", "a/."),
        ("app:a/", "app", "a/", "a", ""),
        ("tar:x.tar:/a", "tar:x.tar", "/a", "a", "/"),
        ("windowsfilter:/r:app:C:/a", "windowsfilter:/r:app", "C:/a", "a", "C:/"),
    ],
)
def test_place_in_a_layer(text: str, target: str, path: str, name: str, parent: str) -> None:
    place = parse_place(text)
    assert place == LayerPlace(target, path)
    assert isinstance(place, LayerPlace)
    assert (place.name, place.parent) == (name, parent)
    assert str(place) == text


@pytest.mark.parametrize(
    ("text", "name", "asks"),
    [
        ("a", "a", False),
        ("./app:b", "app:b", False),
        ("/x/app:b", "app:b", False),
        ("-", "-", False),
        ("a/", "a", True),
        ("a/.", "", True),
        (".", "", True),
        ("..", "", True),
        ("/", "", True),
        ("-a:b", "-a:b", False),
    ],
)
def test_place_of_the_system(text: str, name: str, asks: bool) -> None:
    place = parse_place(text)
    assert place == HostPlace(text)
    assert (place.name, place.asks_for_directory) == (name, asks)
    assert isinstance(place, HostPlace)
    assert place.is_tar is (text == "-")


@pytest.mark.parametrize("text", ["", "tar:x", "windowsfilter:/r", "windowsfilter:/r:app"])
def test_place_without_a_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_place(text)


# As the table in docker's documents: what is there, how it was written, file or directory, inside or not.
@pytest.mark.parametrize(
    ("destination", "present", "source", "is_directory", "inside"),
    [
        ("w:/x", None, "file", False, False),
        ("w:/x", False, "file", False, False),
        ("w:/x", True, "file", False, True),
        ("w:/x/", True, "file", False, True),
        ("w:/x", None, "dir", True, False),
        ("w:/x/", None, "dir", True, False),
        ("w:/x", None, "dir/.", True, False),
        ("w:/x", True, "dir", True, True),
        ("w:/x", True, "dir/", True, True),
        ("w:/x", True, "dir/.", True, False),
        ("w:/x", True, ".", True, False),
    ],
)
def test_copy_lands_where_docker_puts_it(
    destination: str, present: bool | None, source: str, is_directory: bool, inside: bool
) -> None:
    places = parse_place(destination), parse_place(source)
    assert lands_inside(places[0], present, places[1], is_directory=is_directory) is inside


@pytest.mark.parametrize(
    ("destination", "present", "source", "is_directory", "error"),
    [
        ("w:/x/", None, "file", False, PathNotFound),
        ("w:/x", False, "dir", True, NotADirectory),
        ("w:/x/", False, "file", False, NotADirectory),
        ("w:/x", True, "file/.", False, IsADirectory),
    ],
)
def test_copy_that_lands_nowhere_is_refused(
    destination: str, present: bool | None, source: str, is_directory: bool, error: type[Exception]
) -> None:
    places = parse_place(destination), parse_place(source)
    with pytest.raises(error):
        lands_inside(places[0], present, places[1], is_directory=is_directory)
