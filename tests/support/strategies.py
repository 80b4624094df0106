"""Random small layers for Hypothesis: valid ones, with everything that a layer can hold.

``layer_stacks`` draws a base layer and children on it, as lists of entries, nearest first. Names come
from a short list in several spellings, so that layers meet each other; a child has whiteouts and links
to what its parents have. What shows of the parents is kept as plain sets of paths here, so that neither
``layer.merge`` nor the model of the tests is needed to draw.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.support.builders import (
    DESCRIPTOR,
    OTHER_DESCRIPTOR,
    Layer,
    a_directory,
    a_file,
    a_junction,
    a_link,
    a_reparse_point,
    a_symlink,
    a_whiteout,
    an_opaque_whiteout,
)
from tests.support.hostnames import ODD_NAME
from winlayers.backends.memory import HeldEntry
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.layer.entry import EntryKind
from winlayers.layer.names import fold

_NAMES = [
    *("a", "A", "b", "B", "win.ini", "WIN.INI", "ünï", "ÜNÏ", "ß", "ǆ", "Ǆ", "ǅ", "😀", "日本"),
    *(ODD_NAME, f"x{ODD_NAME}", " lead", "[1]", "$Extend", "e\u0301", ".hidden", "\U0010ffff"),
]
_ROOTS = ("Files", "UtilityVM/Files")
_MAX_FILETIME = 2**64 - 1
_MAX_DEPTH = 3
_MAX_ENTRIES = 14

names = st.sampled_from(_NAMES)
filetimes = st.one_of(
    st.sampled_from([0, 1, 116444736000000000, 2**63 - 1, 2**63, _MAX_FILETIME]),
    st.integers(0, _MAX_FILETIME),
)
contents = st.one_of(st.just(b""), st.binary(max_size=8), st.just(b"x" * 600))
streams = st.dictionaries(
    st.sampled_from(["s", "Zone.Identifier", "\x05Summary", "ünï", "\ud800"]), contents, max_size=2
)
# By name: their order means nothing, and a tar does not keep it.
ea_lists = st.lists(
    st.builds(
        ExtendedAttribute,
        st.sampled_from([b"A", b"LXUID", b"$KERNEL.PURGE.X", b"a=b"]),
        st.binary(max_size=5),
        st.sampled_from([0, 0x80]),
    ),
    max_size=2,
    unique_by=lambda attribute: attribute.name,
).map(lambda attributes: build_ea_list(sorted(attributes, key=lambda one: one.name)))


@dataclass
class _Drawing:
    """One layer while it is drawn.

    Attributes:
        below: folded path of what the parents show -> whether it is a directory.
        layer: the entries so far.
        own: folded path of what this layer has an entry or whiteout for -> "file", "directory", …
        targets: paths that links of this layer may lead to.
    """

    draw: st.DrawFn
    below: dict[str, bool]
    layer: Layer = field(default_factory=list)
    own: dict[str, str] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)

    def run(self, *, is_base: bool) -> Layer:
        for root in _ROOTS[: 1 + self.draw(st.booleans())]:
            self.targets = [
                path
                for path, is_directory in sorted(self.below.items())
                if not is_directory and path.startswith(fold(root) + "/")
            ]
            # Paths of the parents are kept folded; a link has to spell the volume as it is.
            self.targets = [root + path[len(root) :] for path in self.targets]
            for depth in range(root.count("/") + 1):
                self.add(a_directory("/".join(root.split("/")[: depth + 1])), "directory")
            self.fill(root, 0, is_base=is_base)
        return self.layer

    def add(self, held: HeldEntry, role: str) -> None:
        self.layer.append(held)
        self.own[fold(held.entry.path)] = role

    def fill(self, directory: str, depth: int, *, is_base: bool) -> None:
        if not is_base and self.draw(st.integers(0, 9)) == 0:
            self.add(an_opaque_whiteout(directory), "whiteout")
        choice = names
        if there := self.names_below(directory):
            choice = st.one_of(*[st.sampled_from(there)] * 3, names)
        for name in self.draw(st.lists(choice, min_size=not depth, max_size=5, unique_by=fold)):
            path = f"{directory}/{name}"
            if len(self.layer) < _MAX_ENTRIES:
                self.add_one(path, depth, is_base=is_base)

    def names_below(self, directory: str) -> list[str]:
        """What the parents have in a directory; it stands in upper case, which is a spelling too."""
        folded = fold(directory)
        paths = (path.rpartition("/") for path in sorted(self.below))
        return [name for above, _, name in paths if above == folded]

    def add_one(self, path: str, depth: int, *, is_base: bool) -> None:
        kinds = ["file", "file", "directory", "reparse"]
        kinds += ["link"] if self.targets else []
        kinds += ["whiteout", "whiteout"] if fold(path) in self.below else []
        kinds += [] if is_base else ["whiteout"]
        kind = self.draw(st.sampled_from(kinds))
        if kind == "whiteout":
            self.add(a_whiteout(path), "whiteout")
        elif kind == "directory":
            self.add(self.directory(path), "directory")
            if depth < _MAX_DEPTH:
                self.fill(path, depth + 1, is_base=is_base)
        elif kind == "link" and (target := self.target(path)):
            self.add(a_link(path, target, attributes=0x20, **self.times()), "file")
            self.targets.append(path)
        elif kind == "reparse":
            held = self.reparse_point(path)
            self.add(held, "closed" if held.entry.attributes & 0x10 else "file")
        else:
            self.add(self.file(path), "file")
            self.targets.append(path)

    def target(self, path: str) -> str | None:
        """Something for a link to lead to that is not itself or, later, an entry of this layer."""
        target = self.draw(st.sampled_from(self.targets))
        return None if fold(target) == fold(path) else target

    def times(self) -> dict[str, int]:
        keys = ("creation", "access", "write", "change")
        return {f"{key}_filetime": self.draw(filetimes) for key in keys}

    def metadata(self, bits: tuple[int, ...]) -> dict[str, object]:
        if self.draw(st.booleans()):
            return {}  # the same in many places
        return {
            "attributes": self.draw(st.sampled_from(bits)),
            "security": self.draw(st.sampled_from([b"", DESCRIPTOR, OTHER_DESCRIPTOR])),
            "ea": self.draw(ea_lists),
            **self.times(),
        }

    def file(self, path: str) -> HeldEntry:
        metadata = self.metadata((0, 0x20, 0x21, 0x26, 0x820, 0x2080))
        return a_file(path, self.draw(contents), self.draw(streams), **metadata)

    def directory(self, path: str) -> HeldEntry:
        return a_directory(path, self.draw(streams), **self.metadata((0x10, 0x12, 0x2016)))

    def reparse_point(self, path: str) -> HeldEntry:
        match self.draw(st.integers(0, 3)):
            case 0:
                return a_symlink(path, self.draw(st.sampled_from(["a", "..\\b", "C:\\A"])))
            case 1:
                return a_symlink(path, "b", is_directory=True)
            case 2:
                return a_junction(path, "C:\\a")
            case _:
                return a_reparse_point(path, **self.times())


def _without_wrong_links(layer: Layer) -> Layer:
    """The layer without links to what this same layer has later, or as a directory."""
    own = {fold(held.entry.path): (n, held.entry.kind) for n, held in enumerate(layer)}
    kept: Layer = []
    dropped: set[str] = set()
    for n, held in enumerate(layer):
        target = fold(held.entry.target)
        number, kind = own.get(target, (-1, EntryKind.FILE))
        if target and (number > n or kind is EntryKind.DIRECTORY or target in dropped):
            dropped.add(fold(held.entry.path))
        else:
            kept.append(held)
    return kept


def _shown(below: dict[str, bool], layer: Layer) -> dict[str, bool]:
    """What shows when a layer is put on others: only paths, and whether they are directories."""
    shown = dict(below)

    def remove_below(directory: str) -> None:
        for path in [path for path in shown if path.startswith(directory + "/")]:
            del shown[path]

    for held in layer:
        folded = fold(held.entry.path)
        if folded.endswith("/.WH..OPQ"):
            remove_below(folded.rpartition("/")[0])
        elif held.entry.kind is EntryKind.WHITEOUT:
            shown.pop(folded, None)
            remove_below(folded)
    for held in layer:
        folded = fold(held.entry.path)
        if held.entry.kind is EntryKind.WHITEOUT:
            continue
        is_directory = held.entry.kind is EntryKind.DIRECTORY
        if not is_directory or held.entry.reparse or shown.get(folded) is not True:
            remove_below(folded)
        # A reparse point counts as a directory here too: no link may lead to one.
        shown[folded] = is_directory
    return shown


@st.composite
def layer_trees(draw: st.DrawFn) -> Layer:
    """A base layer."""
    return _without_wrong_links(_Drawing(draw, {}).run(is_base=True))


@st.composite
def layer_stacks(draw: st.DrawFn, *, max_children: int = 3) -> list[Layer]:
    """A base layer and up to ``max_children`` on it, nearest first."""
    stack: list[Layer] = []
    below: dict[str, bool] = {}
    for number in range(1 + draw(st.integers(0, max_children))):
        layer = _without_wrong_links(_Drawing(draw, dict(below)).run(is_base=not number))
        below = _shown(below, layer)
        stack.insert(0, layer)
    return stack
