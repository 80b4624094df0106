"""Real programs on a mounted scratch; and the layer that is made of it afterwards has all that they did."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import needs
from tests.e2e.places import Place, run
from tests.e2e.telling import tell_all

pytestmark = pytest.mark.e2e

_GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "gc.auto=0"]


@pytest.fixture
def committed(place: Place, root: Path) -> Iterator[None]:
    """After the test: what the mount shows is what a layer made of its changes shows."""
    yield
    expected = tell_all(root)
    place.mounter.unmount(root)
    with place.driver.diff("scratch") as tar:
        place.driver.import_layer("committed", "base", tar)
    assert tell_all(place.mount("committed")) == expected


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of many sizes, folders, links and times."""
    root = tmp_path_factory.mktemp("files")
    for number in range(120):
        folder = root / f"folder {number % 7}" / f"deep {number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"file {number} ä.txt"
        path.write_bytes(os.urandom(number * 997))
        path.chmod(0o755)
        os.utime(path, ns=(10**18 + number, 10**18 + number * 100))
    (root / "hole").touch()
    os.truncate(root / "hole", 3 << 20)
    (root / "folder 1" / "link").symlink_to("../folder 2")
    os.link(root / "hole", root / "same hole")
    for parent, folders, names in os.walk(root):
        for name in [*folders, *names]:
            if not os.path.islink(path := os.path.join(parent, name)):
                os.chmod(path, 0o755)
    root.chmod(0o755)
    return root


def assert_same(one: Path, other: Path) -> None:
    run(["diff", "-r", "--no-dereference", one, other])
    listed = ["rsync", "-aHn", "--delete", "--itemize-changes", "--omit-dir-times", "--no-owner"]
    assert run([*listed, "--no-group", "--omit-link-times", f"{one}/", f"{other}/"]) == ""


@pytest.mark.usefixtures("committed")
def test_rsync_copies_in_and_out(root: Path, files: Path, tmp_path: Path) -> None:
    needs("rsync")
    run(["rsync", "-aH", f"{files}/", root / "copy"])
    assert_same(files, root / "copy")
    run(["rsync", "-aH", f"{root}/copy/", tmp_path / "back"])
    assert_same(files, tmp_path / "back")
    (files / "hole").touch()
    run(["rsync", "-aH", "--checksum", "--delete", f"{files}/folder 1/", root / "copy"])
    assert_same(files / "folder 1", root / "copy")


@pytest.mark.usefixtures("committed")
def test_tar_packs_and_unpacks(root: Path, files: Path, tmp_path: Path) -> None:
    needs("tar")
    run(["tar", "-C", files, "-cf", root / "files.tar", "."])
    (root / "out").mkdir()
    run(["tar", "-C", root / "out", "-xpf", root / "files.tar"])
    assert_same(files, root / "out")
    run(["tar", "-C", root / "out", "--format=pax", "-cf", tmp_path / "again.tar", "."])
    (tmp_path / "out").mkdir()
    run(["tar", "-C", tmp_path / "out", "-xpf", tmp_path / "again.tar"])
    assert_same(files, tmp_path / "out")


@pytest.mark.usefixtures("committed")
def test_git_clones_changes_and_checks(root: Path, files: Path, tmp_path: Path) -> None:
    needs("git")
    origin = tmp_path / "origin"
    run(["cp", "-r", files, origin])
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        run([*_GIT, *command], cwd=origin)
    run([*_GIT, "clone", "-q", f"file://{origin}", root / "packed"])
    run([*_GIT, "clone", "-q", origin, root / "linked"])
    for clone in (root / "packed", root / "linked"):
        run([*_GIT, "fsck", "--full", "--strict"], cwd=clone)
        assert run([*_GIT, "status", "--porcelain"], cwd=clone) == ""
        (clone / "new.txt").write_text("new")
        run([*_GIT, "add", "."], cwd=clone)
        run([*_GIT, "commit", "-qm", "two"], cwd=clone)
        run([*_GIT, "checkout", "-q", "HEAD~"], cwd=clone)
        assert not (clone / "new.txt").exists()
        run([*_GIT, "gc", "-q"], cwd=clone)
        run([*_GIT, "fsck", "--full"], cwd=clone)


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("journal", ["delete", "truncate", "wal"])
def test_sqlite_keeps_a_database(root: Path, journal: str) -> None:
    needs("sqlite3")
    script = f"""
        PRAGMA journal_mode={journal};
        CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);
        WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000)
            INSERT INTO t SELECT x, hex(randomblob(40)) FROM n;
        CREATE INDEX i ON t (b);
        DELETE FROM t WHERE a % 3 = 0;
        UPDATE t SET b = a WHERE a % 5 = 0;
        VACUUM;
        PRAGMA integrity_check;
    """
    told = run(["sqlite3", root / "t.db", script])
    assert told.split() == [journal, "ok"]
    assert run(["sqlite3", root / "t.db", "SELECT count(*) FROM t"]).strip() == "2000"
    # Two at once: one holds the database, the other is kept from it.
    with subprocess.Popen(
        ["sqlite3", root / "t.db"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(b"BEGIN EXCLUSIVE; SELECT 1;\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == b"1\n"
        refused = subprocess.run(
            ["sqlite3", root / "t.db", "DELETE FROM t"],
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert b"locked" in refused.stderr
        holder.stdin.write(b"COMMIT;\n")
        holder.stdin.close()
    assert run(["sqlite3", root / "t.db", "PRAGMA integrity_check"]).strip() == "ok"


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize(
    "job",
    [
        ["--rw=write", "--bs=128k", "--size=8m", "--numjobs=2"],
        ["--rw=randwrite", "--bs=4k", "--size=2m", "--numjobs=4", "--fsync=64"],
        ["--rw=randrw", "--bsrange=512-64k", "--bs_unaligned", "--size=4m", "--numjobs=2"],
        ["--rw=randwrite", "--bs=4k", "--size=4m", "--numjobs=2", "--ioengine=mmap"],
        ["--rw=randwrite", "--bs=8k", "--size=2m", "--numjobs=2", "--unlink=1", "--fallocate=none"],
    ],
    ids=["sequential", "random", "odd", "mapped", "unlinked"],
)
def test_fio_reads_what_it_wrote(root: Path, tmp_path: Path, job: list[str]) -> None:
    needs("fio")
    verify = ["--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--randseed=1"]
    # It leaves files that tell its state where it runs.
    run(["fio", "--name=job", f"--directory={root}", *verify, *job], cwd=tmp_path)


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize(
    "stressors",
    [
        "dentry dir dirdeep dirmany getdent link rename mknod",
        "hdd iomix seek fallocate fpunch fsize sync-file mmap sendfile",
        "fstat utime touch open xattr flock lockf fcntl filename inotify",
    ],
    ids=["names", "contents", "metadata"],
)
def test_stress_ng_finds_no_fault(root: Path, stressors: str) -> None:
    needs("stress-ng")
    small = ["--hdd-bytes", "4m", "--seek-size", "4m", "--fallocate-bytes", "4m"]
    small += ["--iomix-bytes", "4m"]
    chosen = [word for name in stressors.split() for word in (f"--{name}", "1")]
    (root / "stress").mkdir()
    told = run(
        [
            "stress-ng",
            "--temp-path",
            root / "stress",
            "--timeout",
            "3s",
            "--verify",
            *small,
            *chosen,
        ],
        seconds=60,
    )
    assert "fail" not in told, told
    assert "successful run completed" in told
    assert os.listdir(root / "stress") == []
