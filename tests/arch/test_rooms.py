"""The import table of the design, kept: ``rooms.toml`` is read and every import is compared with it."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SOURCE = HERE.parent.parent / "src" / "winlayers"
TABLE: dict[str, Any] = tomllib.loads((HERE / "rooms.toml").read_text())
EVERYWHERE = ("errors", "base", "_version")

MODULES = sorted(SOURCE.rglob("*.py"))


def dotted(path: Path) -> str:
    """Name of a module below the package: ``formats.tar``; of a folder's own: ``formats``."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    if len(parts) > 1 and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts)


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            is_package = (SOURCE.parent / node.module.replace(".", "/")).is_dir()
            for alias in node.names:
                yield f"{node.module}.{alias.name}" if is_package else node.module


def is_below(module: str, allowed: str) -> bool:
    return module == allowed or module.startswith(allowed + ".")


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_keep_to_the_table(path: Path) -> None:
    module = dotted(path)
    room = module.split(".")[0]
    assert room in TABLE["rooms"], f"{room} is not in rooms.toml"
    allowed = (*EVERYWHERE, *TABLE["rooms"][room], room)
    for imported in imports_of(path):
        first, _, rest = imported.partition(".")
        if first == "winlayers":
            assert not rest or any(is_below(rest, one) for one in allowed), (
                f"{module} imports {imported}"
            )
        elif first in TABLE["third_party"]:
            places = TABLE["third_party"][first]
            assert any(is_below(module, place) for place in places), f"{module} imports {imported}"
        else:
            assert first in (*sys.stdlib_module_names, "_typeshed"), f"{module} imports {imported}"
        if first in TABLE["effects"]:
            places = TABLE["effects"][first]
            assert any(is_below(module, place) for place in places), f"{module} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_private_modules_stay_in_their_folder(path: Path) -> None:
    folder = path.parent
    for imported in imports_of(path):
        parts = imported.split(".")
        if parts[0] != "winlayers":
            continue
        for depth, part in enumerate(parts[1:], start=1):
            if part.startswith("_") and part not in ("_version", "__version__"):
                owner = SOURCE.parent.joinpath(*parts[:depth])
                if owner.is_dir():
                    assert owner in (folder, *folder.parents), f"{dotted(path)} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_rivals_never_import_each_other(path: Path) -> None:
    module = dotted(path)
    for room, rivals in TABLE["apart"].items():
        mine = [rival for rival in rivals if is_below(module, f"{room}.{rival}")]
        for imported in imports_of(path):
            for rival in rivals:
                if mine and rival not in mine:
                    assert not is_below(imported, f"winlayers.{room}.{rival}")


def test_no_module_imports_itself_in_a_ring() -> None:
    edges = {
        dotted(path): {
            name.removeprefix("winlayers.")
            for name in imports_of(path)
            if name.startswith("winlayers.")
        }
        for path in MODULES
    }
    known = set(edges)
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above[above.index(module) :], module))
        if module in done:
            return
        for target in sorted(edges[module]):
            while target and target not in known:
                target = target.rpartition(".")[0]
            if target and target != module:
                visit(target, (*above, module))
        done.add(module)

    for module in sorted(edges):
        visit(module, ())


def test_every_module_has_a_docstring() -> None:
    for path in MODULES:
        assert ast.get_docstring(ast.parse(path.read_bytes())), f"{path} has no docstring"
