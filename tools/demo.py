"""The main job on a realistic layer: import a base and a child, look, export, compare digests."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
HOME = Path("build/demo")


def run(*arguments: str) -> bytes:
    """Run winlayers on the demo's store and show what it printed, at most twelve lines of it."""
    print("\n$ winlayers " + " ".join(arguments), flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "winlayers", "--root", str(HOME / "store"), *arguments],
        check=True,
        stdout=subprocess.PIPE,
    )
    return done.stdout


def show(*arguments: str) -> None:
    lines = run(*arguments).decode("utf-8", "replace").splitlines()
    print(
        "\n".join(lines[:12]) + (f"\n... {len(lines) - 12} more lines" if len(lines) > 12 else "")
    )


def build(name: str, *options: str) -> Path:
    path = HOME / f"{name}.tar.gz"
    print(f"building {path}", flush=True)
    maker = [sys.executable, str(HERE / "mkcorpus.py"), str(path), "--size", "tiny", *options]
    subprocess.run(maker, check=True, stdout=subprocess.DEVNULL)
    return path


def digest_of(path: Path) -> str:
    inflated = subprocess.run(["gzip", "-dc", str(path)], check=True, stdout=subprocess.PIPE).stdout
    return hashlib.sha256(inflated).hexdigest()


def main() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    base, child = build("base"), build("child", "--child", "--seed", "2")
    show("layer", "import", "base", str(base))
    show("layer", "import", "app", str(child), "--parent", "base")
    show("layer", "ls")
    show("ls", "-l", "app", "/Users")
    show("layer", "changes", "app")
    show("stat", "app", "C:\\License.txt")
    for name, path in (("base", base), ("app", child)):
        exported = hashlib.sha256(run("layer", "export", name)).hexdigest()
        expected = digest_of(path)
        print(f"{path}: {expected}\nexported:  {exported}", flush=True)
        assert exported == expected, f"{name} came out changed"
    print("\nThe same bytes came out. What to try next:\n")
    for line in (
        f"export WINLAYERS_ROOT={(HOME / 'store').absolute()} PATH={Path('.venv/bin').absolute()}:$PATH",
        "winlayers tree app /Windows",
        "winlayers find app '*.dll'",
        "winlayers check app",
        "winlayers extract app /Users -o users",
    ):
        print(f"  {line}")


if __name__ == "__main__":
    main()
