"""The program ``winlayers``: its groups of commands, and the one way in which every run ends.

Whatever a command does, ``run`` turns it into an exit code: 0, one of those in ``errors.KINDS``, 1 for a
fault of ours, 3 where a command says that something was found or only a part was done. A traceback is
shown only when it was asked for. The environment is read here and in ``session``, nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

import click

from winlayers._version import __version__
from winlayers.cli.options import LazyGroup
from winlayers.cli.output import ReaderGone
from winlayers.cli.session import Session, print_error

PROGRAM = "winlayers"
COMPLETE_VARIABLE = "_WINLAYERS_COMPLETE"
_ENDING_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"{PROGRAM} {__version__}")
        ctx.exit()


layer_group = LazyGroup(
    "layer",
    help="Layers in the store, each on its parents.",
    modules={
        "import": "layer_import",
        "export": "layer_export",
        "create": "layer_create",
        "ls": "layer_ls",
        "inspect": "layer_inspect",
        "changes": "layer_changes",
        "diff": "layer_diff",
        "size": "layer_size",
        "mount": "layer_mount",
        "unmount": "layer_unmount",
        "commit": "layer_commit",
        "remove": "layer_remove",
    },
)
store_group = LazyGroup(
    "store",
    help="The store as a whole.",
    modules={
        "info": "store_info",
        "df": "store_df",
        "check": "store_check",
        "prune": "store_prune",
        "snapshots": "store_snapshots",
        "attach": "store_attach",
    },
)
serve_group = LazyGroup(
    "serve",
    help="The store for engines, on a socket.",
    modules={"containerd": "serve_containerd", "docker": "serve_docker"},
)
manifest_group = LazyGroup(
    "manifest", help="Manifests and indexes of images.", modules={"ls": "manifest_ls"}
)
cli = LazyGroup(
    PROGRAM,
    help="Pull, keep, read, change and push Windows container images and their layers, bit-exact, on any OS.\n\n"
    "TARGET is the name of an image of the store, the id of a layer or the beginning of one, docker://IMAGE, "
    "oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, dir:DIR, tar:FILE, snapshot:KEY or windowsfilter:ROOT:ID. "
    "PATH takes / or \\, with or without a drive, in any case.",
    modules={
        "ls": "ls",
        "stat": "stat",
        "cat": "cat",
        "tree": "tree",
        "find": "find",
        "extract": "extract",
        "cp": "cp",
        "diff-tree": "diff_tree",
        "check": "check",
        "pull": "pull",
        "push": "push",
        "copy": "copy",
        "load": "load",
        "save": "save",
        "images": "images",
        "tag": "tag",
        "rmi": "rmi",
        "inspect": "inspect",
        "history": "history",
        "commit": "commit",
        "append": "append",
        "config": "config",
        "rebase": "rebase",
        "flatten": "flatten",
        "squash": "squash",
        "completion": "completion",
    },
    groups=[manifest_group, layer_group, store_group, serve_group],
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
cli.params.append(
    click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        help="Show the version and exit.",
        callback=_print_version,
    )
)


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end.

    Attributes:
        exit_code: 128 and the number of the signal, as a shell tells it.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.exit_code = 128 + signal_number


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """One run.

    Args:
        arguments: what stands after the program's name.
        environ: the environment.
    Returns:
        The exit code.
    """
    _open_standard_files()
    session = Session.from_environ(environ)
    if instruction := environ.get(COMPLETE_VARIABLE):
        from click.shell_completion import shell_complete

        return shell_complete(cli, {"obj": session}, PROGRAM, COMPLETE_VARIABLE, instruction)
    try:
        with _interruptible(session):
            code = _invoke(arguments, session)
            session.out.flush()
            return code
    except ReaderGone:
        _forget_standard_output()
        return 0
    except BaseException as error:
        # The last line: whatever comes here has an exit code, and none but this way out.
        return _end(error, session, arguments)


def _invoke(arguments: Sequence[str], session: Session) -> int:
    with cli.make_context(PROGRAM, list(arguments), obj=session) as context:
        code = cli.invoke(context)
    return code if isinstance(code, int) else 0


def _end(error: BaseException, session: Session, arguments: Sequence[str]) -> int:
    """Tell an error, if it is one, and give the exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError) and not session.is_running:
        _forget_standard_output()  # somebody looked at the beginning of a help text
        return 0
    try:
        session.out.flush()  # what was found before
    except (ReaderGone, OSError):
        _forget_standard_output()
    # A mistake in the arguments may stand before --json.
    is_json = session.is_json or (not session.is_running and "--json" in arguments)
    failure = session.report_error(error, is_json=is_json)
    return error.exit_code if isinstance(error, Interrupted) else failure.exit


@contextlib.contextmanager
def _interruptible(session: Session) -> Iterator[None]:
    """Have the signals that end a program end this run in order."""
    seen = 0

    def interrupt(signal_number: int, frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            session.cancel.set()
            raise Interrupted(signal_number)
        if seen == 2:
            # What is being cleaned up must not be cut off by an impatient second Ctrl-C.
            return print_error("winlayers: cleaning up; interrupt once more to end at once")
        os._exit(128 + signal_number)

    changed = {}
    if threading.current_thread() is threading.main_thread():
        for name in _ENDING_SIGNALS:
            number = getattr(signal, name, None)
            # nohup and shells in the background have them ignored, and mean it.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                changed[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in changed.items():
            signal.signal(number, handler)


def _open_standard_files() -> None:
    """Have descriptors 0 to 2 open, so that no file of the store gets a number that is printed to."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one


def _forget_standard_output() -> None:
    """Send what is still in buffers nowhere, so that the interpreter does not complain at its end."""
    if sys.stdout is None:
        return
    try:
        target = sys.stdout.fileno()
    except (OSError, ValueError):
        return  # it stands on no descriptor, so nothing is flushed to one
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, target)
    os.close(nowhere)
