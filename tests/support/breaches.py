"""Layers that break one law each, with the code of the finding; they stand on ``PARENT``."""

from __future__ import annotations

from tests.support.builders import (
    Layer,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_whiteout,
    an_opaque_whiteout,
)

PARENT = a_layer(a_file("Files/low"), a_directory("Files/lowdir"), a_junction("Files/lowj", "C:\\"))
_FILES = a_directory("Files")

BREACHES: list[tuple[str, Layer]] = [
    ("name-duplicate", [_FILES, a_file("Files/a"), a_file("Files/A")]),
    ("name-duplicate", [_FILES, a_directory("Files/d"), a_directory("Files/D")]),
    ("name-duplicate", [_FILES, a_whiteout("Files/a"), a_whiteout("Files/A")]),
    ("name-duplicate", [_FILES, an_opaque_whiteout("Files"), an_opaque_whiteout("Files")]),
    ("name-duplicate", [_FILES, a_file("Files/x"), a_link("Files/X", "Files/low")]),
    ("whiteout-and-entry", [_FILES, a_file("Files/a"), a_whiteout("Files/A")]),
    ("whiteout-and-entry", [_FILES, a_whiteout("Files/a"), a_file("Files/A")]),
    ("parent-missing", [a_file("Files/a")]),
    ("parent-missing", [_FILES, a_file("Files/a/b")]),
    ("parent-missing", [_FILES, a_file("Files/a/b/c")]),
    ("parent-missing", [_FILES, a_whiteout("Files/a/b")]),
    ("parent-missing", [_FILES, a_link("Files/a/b", "Files/low")]),
    ("parent-not-directory", [_FILES, a_file("Files/a"), a_file("Files/a/b")]),
    ("parent-not-directory", [_FILES, a_file("Files/a"), a_file("Files/a/b/c")]),
    ("parent-not-directory", [_FILES, a_junction("Files/a", "C:\\"), a_file("Files/a/b")]),
    ("parent-not-directory", [_FILES, a_whiteout("Files/a"), a_whiteout("Files/a/b")]),
    ("parent-not-directory", [_FILES, a_link("Files/a", "Files/low"), a_file("Files/a/b")]),
    ("root-unknown", [a_directory("Windows")]),
    ("root-unknown", [a_directory("files")]),
    ("whiteout-outside", [a_directory("Hives"), a_whiteout("Hives/System_Delta")]),
    ("whiteout-outside", [a_directory("UtilityVM"), a_whiteout("UtilityVM/Files")]),
    ("whiteout-outside", [a_directory("UtilityVM"), an_opaque_whiteout("UtilityVM")]),
    ("link-to-self", [_FILES, a_link("Files/a", "Files/A")]),
    ("link-outside", [_FILES, a_link("Files/a", "Hives/System_Delta")]),
    ("link-outside", [a_directory("Hives"), a_link("Hives/a", "Files/low")]),
    ("link-outside", [_FILES, a_link("Files/a", "Files")]),
    ("link-target-missing", [_FILES, a_link("Files/a", "UtilityVM/Files/x")]),
    ("link-to-directory", [_FILES, a_directory("Files/d"), a_link("Files/a", "Files/d")]),
    ("link-to-directory", [_FILES, a_junction("Files/d", "C:\\"), a_link("Files/a", "Files/d")]),
    ("link-to-directory", [_FILES, a_link("Files/a", "Files/lowdir")]),
    ("link-to-directory", [_FILES, a_link("Files/a", "Files/lowj")]),
    ("link-target-missing", [_FILES, a_link("Files/a", "Files/gone")]),
    ("link-target-missing", [_FILES, a_whiteout("Files/x"), a_link("Files/a", "Files/x")]),
    ("link-before-target", [_FILES, a_link("Files/a", "Files/b"), a_file("Files/b")]),
    ("link-before-target", [_FILES, a_link("Files/a", "Files/low"), a_file("Files/Low")]),
    ("name-character", [_FILES, a_whiteout("Files/a?")]),
    ("name-trailing", [_FILES, a_file("Files/a.")]),
    ("name-reserved", [_FILES, a_file("Files/con.txt")]),
    ("name-too-long", [_FILES, a_file("Files/" + "a" * 256)]),
    ("stream-duplicate", [_FILES, a_file("Files/a", b"", {"s": b"", "S": b""})]),
]
