"""The build of Windows in a container of a layer, as its registry tells it: ``10.0.20348.2113``.

The registry of a container is the SOFTWARE hive of the base layer with the difference of each layer above laid
over it. Here that is done for the one key that tells the build, ``Microsoft\\Windows NT\\CurrentVersion``:

    CurrentMajorVersionNumber, CurrentMinorVersionNumber, UBR    DWORD
    CurrentBuildNumber, or CurrentBuild where there is none      SZ
    ProductName, EditionID, InstallationType, BuildLabEx, DisplayVersion    SZ

A hive that cannot be read is reported, and neither it nor what is below it is asked: what layers above say is
known all the same, and the rest is not. One that was not closed is read without its transaction log, so that
what an update wrote last may be missing. This module refuses to know other keys and how hives are written.
Source: msuhanov/regf (layered keys); microsoft/hcsshim (where the hives of a layer are).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from winlayers.errors import Malformed, PathNotFound, TooLarge
from winlayers.formats.hive.cells import Semantics
from winlayers.formats.hive.reader import Hive, Key, Value
from winlayers.layer.checks.hivefiles import has_log
from winlayers.layer.findings import Finding
from winlayers.layer.merge import LayerTable, MergedView
from winlayers.layer.names import FILES, HIVES, fold
from winlayers.layer.view import Node, View

#: Where a base layer has the hive: Windows' own place, and the copy that Windows makes of it on import.
BASE_HIVES = (f"{FILES}/Windows/System32/config/SOFTWARE", f"{HIVES}/Software_Base")
#: Where any other layer has its difference.
DELTA_HIVE = f"{HIVES}/Software_Delta"
KEY_PATH = ("Microsoft", "Windows NT", "CurrentVersion")

_MAJOR, _MINOR, _REVISION = "CurrentMajorVersionNumber", "CurrentMinorVersionNumber", "UBR"
_BUILDS = ("CurrentBuildNumber", "CurrentBuild")
# In the order of the fields of OsBuild.
_TEXTS = ("ProductName", "EditionID", "InstallationType", "BuildLabEx", "DisplayVersion")
_NAMES = frozenset(map(fold, (_MAJOR, _MINOR, _REVISION, *_BUILDS, *_TEXTS)))

# Texts of this key have a few dozen characters; a hostile one is not read.
_MAX_TEXT_SIZE = 1024
_MAX_NUMBER_DIGITS = 9

Report = Callable[[Finding], None]


@dataclass(frozen=True, slots=True)
class OsBuild:
    """What the registry says of the Windows that it belongs to.

    Attributes:
        major: 10 on all that run containers.
        minor: 0 there.
        build: 20348 for Windows Server 2022.
        revision: what updates count up, or None where nothing tells.
        product: name of the product, or ``""``, as are the following where nothing tells.
        edition: ``ServerDatacenter``, ``ServerNano``.
        installation_type: ``Server Core``, ``Nano Server``.
        build_lab: where and when it was built.
        display_version: ``21H2``.
    """

    major: int
    minor: int
    build: int
    revision: int | None = None
    product: str = ""
    edition: str = ""
    installation_type: str = ""
    build_lab: str = ""
    display_version: str = ""

    @property
    def version(self) -> str:
        """The numbers with dots between them, as in ``os.version`` of an image."""
        numbers = (self.major, self.minor, self.build, self.revision)
        return ".".join(str(number) for number in numbers if number is not None)


def read_os_build(
    tables: Sequence[LayerTable], *, has_base: bool, report: Report = lambda finding: None
) -> OsBuild | None:
    """What the registry of a container of these layers says of its Windows.

    Args:
        tables: the layers, nearest first; they stay open.
        has_base: whether the last is a base layer. Where it is not at hand, only what the differences
            say is known.
        report: called with a finding for each hive that cannot be read, or that was not closed and has no
            transaction log beside it.
    Returns:
        The build, or None where the numbers are not known.
    """
    with ExitStack() as files:
        roots = ((hive, hive.root) for hive in _hives(tables, has_base, report, files))
        key = list(_shown(roots))
        for name in KEY_PATH:
            key = list(_shown(_subkeys(key, name, report)))
        return _os_build(_values(key, report))


@dataclass(frozen=True, slots=True)
class _LayerHive:
    """The hive of one layer, and where it is from, for reports."""

    root: Key
    path: str
    layer_id: str

    def finding(self, code: str, detail: str) -> Finding:
        return Finding(code, self.path, detail, self.layer_id)


@dataclass(frozen=True, slots=True)
class _Stacked:
    """A key as one hive has it, and whether its values show through what is above."""

    hive: _LayerHive
    key: Key
    shows_values: bool


def _hives(
    tables: Sequence[LayerTable], has_base: bool, report: Report, files: ExitStack
) -> Iterator[_LayerHive]:
    """The hives of the layers that have one, nearest first, down to one that cannot be read."""
    for number, table in enumerate(tables, 1):
        is_base = has_base and number == len(tables)
        # Each layer by itself: merged, the difference of the nearest would hide those below.
        view = MergedView([table])
        paths = BASE_HIVES if is_base else (DELTA_HIVE,)
        node = next(filter(None, map(view.lookup, paths)), None)
        if node is None:
            continue
        try:
            hive = _opened(view, node, files)
        except (Malformed, PathNotFound) as error:
            report(Finding("hive-invalid", node.path, str(error), table.layer_id))
            return
        if hive is None:
            continue
        found = _LayerHive(hive.root, node.path, table.layer_id)
        if hive.is_dirty and not has_log(view, node.path):
            report(found.finding("hive-dirty", "its two sequence numbers differ"))
        yield found


def _opened(view: View, node: Node, files: ExitStack) -> Hive | None:
    """The hive in a file; None in an empty one, which Windows takes for no hive too."""
    node = view.resolve(node)
    return Hive.open(files.enter_context(view.open(node)), fold=fold) if node.size else None


def _shown(candidates: Iterable[tuple[_LayerHive, Key]]) -> Iterator[_Stacked]:
    """One key in the hives that have it, nearest first, as far as it shows."""
    shows_values = True
    for hive, key in candidates:
        semantics = key.semantics
        if semantics is Semantics.TOMBSTONE:
            return
        yield _Stacked(hive, key, shows_values)
        if semantics is Semantics.SUPERSEDE_TREE:
            return
        shows_values = shows_values and semantics is not Semantics.SUPERSEDE_LOCAL


def _subkeys(
    key: Sequence[_Stacked], name: str, report: Report
) -> Iterator[tuple[_LayerHive, Key]]:
    """The subkeys of one name of a key that stands in several hives.

    A hive whose key hides all below it is the last one of a key, so that no hive below it is asked.
    """
    for stacked in key:
        try:
            child = stacked.key.subkey(name)
        except (Malformed, TooLarge) as error:
            report(stacked.hive.finding("hive-damaged", str(error)))
            return
        if child is not None:
            yield stacked.hive, child


def _values(key: Sequence[_Stacked], report: Report) -> dict[str, int | str]:
    """The numbers and texts of a key by folded name, the nearest of each."""
    found: dict[str, int | str | None] = {}
    for stacked in key:
        if not stacked.shows_values:
            break
        try:
            own = {
                folded: _content(value)
                for value in stacked.key.values()
                if (folded := fold(value.name)) in _NAMES
            }
        except (Malformed, TooLarge) as error:
            report(stacked.hive.finding("hive-damaged", str(error)))
            break
        found = {**own, **found}
    return {name: content for name, content in found.items() if content is not None}


def _content(value: Value) -> int | str | None:
    """The number or text of a value; None for a deleted one, and for all that is something else."""
    if value.is_tombstone or value.size > _MAX_TEXT_SIZE:
        return None
    return value.text if value.integer is None else value.integer


def _os_build(values: Mapping[str, int | str]) -> OsBuild | None:
    def number(name: str) -> int | None:
        content = values.get(fold(name))
        return content if isinstance(content, int) else None

    def text(name: str) -> str:
        content = values.get(fold(name))
        return content if isinstance(content, str) else ""

    major, minor = number(_MAJOR), number(_MINOR)
    build = next((found for name in _BUILDS if (found := _parsed(text(name))) is not None), None)
    if major is None or minor is None or build is None:
        return None
    return OsBuild(major, minor, build, number(_REVISION), *map(text, _TEXTS))


def _parsed(text: str) -> int | None:
    """A decimal number of a text, if it is one."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_NUMBER_DIGITS
    return int(text) if is_number else None
