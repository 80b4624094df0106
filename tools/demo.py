"""The main job on a realistic layer: import a base and a child, look, check, export, compare digests.

Everything is made here: no downloads. What it makes stays in build/demo, and the last lines say what to try
with it.
"""

from __future__ import annotations

import gzip
import hashlib
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from demolayers import write_app, write_base

HOME = Path("build/demo")
STORE = HOME / "store"
SHOWN_LINES = 14

TRY_NEXT = (
    ("ls", "-l", "app", "C:\\Windows"),
    ("tree", "--depth", "2", "app"),
    ("find", "app", "*.dll"),
    ("cat", "app", "C:\\Windows\\win.ini"),
    ("stat", "--json", "app", "/Program Files/Contoso/contoso.exe"),
    ("diff-tree", "base", "app"),
    ("ls", "-R", f"tar:{HOME / 'app.tar.gz'}"),
    ("layer", "inspect", "app"),
    ("store", "check", "--deep"),
)


def main() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    print("Making a base layer and a layer on it, as Windows images have them")
    tars = {"base": HOME / "base.tar.gz", "app": HOME / "app.tar.gz"}
    for name, write in (("base", write_base), ("app", write_app)):
        size = write(tars[name])
        print(
            f"  {tars[name]}: {size / 1e6:.1f} MB, {tars[name].stat().st_size / 1e6:.1f} MB compressed"
        )

    step("Import them; each prints the digest of its uncompressed tar")
    show("layer", "import", "base", str(tars["base"]))
    show("layer", "import", "app", str(tars["app"]), "--parent", "base")
    show("layer", "ls")

    step("See the merged tree as the container sees it, and what the upper layer changes in it")
    show("ls", "-l", "app", "C:\\")
    show("layer", "changes", "app")

    step("All metadata of one file")
    show("stat", "app", "C:\\Program Files\\Contoso\\contoso.exe", lines=30)

    step("What Windows would refuse or lose of the layer")
    show("check", "app")

    step("Export both, and compare with what was imported")
    for name, tar in tars.items():
        exported = hashlib.sha256(show("layer", "export", name, is_text=False)).hexdigest()
        imported = hashlib.sha256(gzip.decompress(tar.read_bytes())).hexdigest()
        print(f"  imported {imported}\n  exported {exported}")
        if imported != exported:
            sys.exit(f"{name} came out changed")
    print("\nThe same bytes came out. What to try next:\n")
    for arguments in TRY_NEXT:
        print("  " + command_line(*arguments))


def step(text: str) -> None:
    print(f"\n== {text}", flush=True)


def show(*arguments: str, is_text: bool = True, lines: int = SHOWN_LINES) -> bytes:
    """Run a command on the demo's store and show the first lines that it prints."""
    print("$ " + command_line(*arguments), flush=True)
    begun = time.monotonic()
    done = subprocess.run([*program(), "--root", str(STORE), *arguments], stdout=subprocess.PIPE)
    seconds = time.monotonic() - begun
    if done.returncode not in (0, 3):
        sys.exit(f"exit code {done.returncode}")
    if not is_text:
        print(f"  {len(done.stdout) / 1e6:.1f} MB in {seconds:.1f} s")
        return done.stdout
    found = done.stdout.decode("utf-8", "replace").splitlines()
    for line in found[:lines]:
        print(f"  {line}")
    if len(found) > lines:
        print(f"  … and {len(found) - lines:,} lines more")
    return done.stdout


def program() -> list[str]:
    """The program that belongs to this Python."""
    installed = Path(sys.executable).with_name("winlayers")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "winlayers"]


def command_line(*arguments: str) -> str:
    """A command as it can be pasted into a shell."""
    first, *rest = program()
    here = Path.cwd()
    if Path(first).is_relative_to(here):
        first = str(Path(first).relative_to(here))
    return shlex.join([first, *rest, "--root", str(STORE), *arguments])


if __name__ == "__main__":
    main()
