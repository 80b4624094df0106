"""Writes docs/reference/cli.md from the commands themselves: python tools/clidoc.py > docs/reference/cli.md

A test compares the page with what this makes, so that neither can change alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from winlayers.cli.app import cli
from winlayers.cli.options import Command, GlobalOption
from winlayers.errors import EXIT_FAULT, EXIT_PARTIAL, KINDS, WinlayersError

HEAD = """# The command line

Written by `tools/clidoc.py` from the commands; change them, not this page.

Data goes to standard output, everything else to standard error. `--json` stands on every command that prints
data: one document, or one object a line where there are rows; errors then are one JSON object a line on standard
error, `{"error": {"kind", "message", "exit", …}}`. Sizes are bytes, times UTC.

## TARGET

What a reading command looks into.

| TARGET | what it is |
|---|---|
| `NAME` | an image of the store, by its name or the beginning of its digest; also `store:NAME` |
| `ID` | a layer of the store over its parents, by its id or the beginning of one |
| `docker://HOST/REPOSITORY[:TAG\\|@DIGEST]` | an image in a registry |
| `oci:DIR[:NAME]` | an image of an OCI image layout |
| `oci-archive:FILE[:NAME]` | the same in a tar |
| `docker-archive:FILE[:REFERENCE]` | an image that `docker save` wrote |
| `dir:DIR` | the image in a folder that skopeo wrote |
| `tar:FILE` | a bare layer tar, gzip, zstd or not compressed; nothing is imported, what an import would refuse is still shown |
| `windowsfilter:ROOT:ID` | a layer of another store, or of Docker on Windows, which is only read |
| `snapshot:KEY` | what a snapshot of the store shows, by its key or number; see `store snapshots` |

A word without a colon is a layer where it is a whole id, else an image where one is called so, else the beginning of
an id. Of an image elsewhere the documents are read first; its layers are fetched, kept in the folder for temporary files
and removed at the end, unless the store has them. Of an index the image that fits is taken, by default the newest build
of Windows for this processor; `--platform` asks for another. Which one it was, and which others there were, is told on
standard error.

## IMAGE

What a command about images takes: all the forms above but `ID`, `tar:`, `windowsfilter:` and `snapshot:`. `pull` takes
a name without a transport for one of a registry, and so does `push` for its destination. A folder or file ends at its
first colon. `docker-daemon:` and `containers-storage:` end with exit code 16 and say what to do instead.

Credentials come from `--creds-stdin`, `--creds`, `--authfile`, or the files and helpers of docker and podman
(`REGISTRY_AUTH_FILE`, `XDG_RUNTIME_DIR/containers/auth.json`, `~/.config/containers/auth.json`,
`DOCKER_CONFIG/config.json`, `~/.docker/config.json`). They are never printed.

## PATH

A path is one of the container's C:, in any case, with `/` or `\\`, with or without a drive: `C:\\Windows\\win.ini`,
`/windows/WIN.INI`. `--raw` takes and shows the names in the tar instead: `Files/`, `Hives/`, `UtilityVM/`. Paths of
the last two are always shown so. Links on the way are followed as in the container; `cat` takes an alternate stream
after a colon.

Names are written as UTF-8. Control characters in them are spelled out (`\\x1b`), on a terminal also marks that turn
the direction of text. A lone surrogate, which NTFS allows, is written in WTF-8 into pipes and files, where it can be
given back as an argument, and as `\\ud800` on a terminal and in JSON.

## Environment

| variable | meaning |
|---|---|
| `WINLAYERS_ROOT` | root of the store, where `--root` is not given |
| `WINLAYERS_BACKEND` | as `--backend`, where that is not given |
| `DOCKER_WINDOWSFILTER_NOREEXEC` | if not empty, imports run in the process itself, not in one of their own |
| `NO_COLOR` | if not empty, no colours |
| `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` | proxies, in small letters too |
| `REGISTRY_AUTH_FILE`, `DOCKER_CONFIG`, `XDG_CONFIG_HOME`, `XDG_RUNTIME_DIR` | where credentials are looked for |
"""

GLOBAL_HEAD = """
## Global options

Before or after the command, with the same meaning; after it they win. `layer ls` has `-q` for something else.
"""

EXIT_HEAD = """
## Exit codes

| code | meaning |
|---|---|
| 0 | success; also when whoever read standard output went away |
"""

EXIT_TAIL = """
An error of the operating system has the code of its kind: a file that is not there 10, no right 17, a full disk 18.
After SIGTERM or SIGHUP the code is 143 or 129. A traceback is shown only with `-v`, and only for code 1; with `-vv`
for every error.
"""

FIELDS = """
## Fields of JSON

| command | fields |
|---|---|
| `ls`, `find`, `tree` | `path kind attributes size write layer`, and `target` of links |
| `stat` | `path kind attributes size times{creation access write change} security{owner owner_name group group_name sddl raw} reparse{tag name … raw} streams[name size sparse] ea[name size need value] target target_layer layer layers` |
| `layer import` | `id parent diff_id digest size entries tar_size findings` |
| `layer ls` | `id parent kind size entries diff_id created` |
| `layer inspect` | those of `layer ls`, and `digest tar_size disk_size chain children os_build os_product dir findings` |
| `layer changes`, `diff-tree` | `kind` (A, C or D) `path metadata_only is_directory size` |
| `layer size` | `id size` |
| `check` | `severity code layer entry detail offset title cause remedy` |
| `extract` | `dir files directories hard_links symlinks size losses` |
| `pull`, `push`, `copy` | `digest media_type documents[] copied_size blobs[digest media_type size was_there] rewritten{old: new}` |
| `load` | `name digest` |
| `images` | `name digest manifest_digest image_id platform{os architecture variant os_version os_features build} created size layers[]`, the nearest layer first |
| `rmi` | `name blobs[] layers[] size kept[layer reason]` |
| `inspect` | `name digest manifest_digest media_type image_id platform created size config annotations layers[digest diff_id media_type size is_foreign urls] other_platforms[]` |
| `history` | `created created_by comment author size layer` |
| `manifest ls` | `digest media_type size platform kind annotations` |
| `store info` | `version root tmpdir backend layers size tar_size disk_size libraries warnings` |
| `store check` | `severity code layer path detail title cause remedy action needs_windows repaired` |

`kind` is `file`, `directory` or `link` (a hard link); a symbolic link or junction is a file or directory with
`reparse`. `raw`, and `value` of an extended attribute, are in hexadecimal.
"""


def page() -> str:
    """The whole page."""
    return "".join(
        [
            HEAD,
            GLOBAL_HEAD,
            *_global_options(),
            EXIT_HEAD,
            *_exit_codes(),
            EXIT_TAIL,
            *_commands(),
            FIELDS,
        ]
    )


def _global_options() -> Iterator[str]:
    yield "\n| option | meaning |\n|---|---|\n"
    for param in cli.params:
        if isinstance(param, GlobalOption):
            yield _option_row(param)


def _exit_codes() -> Iterator[str]:
    rows = {codes.exit: f"{kind.__name__}: {_first_line(kind)}" for kind, codes in KINDS.items()}
    rows[2] += " Mistakes in the arguments too."
    rows[EXIT_FAULT] = "A fault of winlayers; please report it."
    rows[EXIT_PARTIAL] = (
        "Something was found (`check`, `diff-tree --exit-code`, …), or only a part was done."
    )
    for code, text in sorted(rows.items()):
        yield f"| {code} | {text} |\n"


def _first_line(kind: type[WinlayersError]) -> str:
    return (kind.__doc__ or "").strip().split("\n")[0]


def _commands() -> Iterator[str]:
    yield "\n## Commands\n"
    context = click.Context(cli, info_name="winlayers")
    for name in cli.list_commands(context):
        found = cli.get_command(context, name)
        if isinstance(found, click.Group):
            for inner in found.list_commands(context):
                command = found.get_command(context, inner)
                assert isinstance(command, Command)
                yield from _command(f"winlayers {name} {inner}", command)
        else:
            assert isinstance(found, Command)
            yield from _command(f"winlayers {name}", found)


def _command(path: str, command: Command) -> Iterator[str]:
    arguments = [_metavar(param) for param in command.params if isinstance(param, click.Argument)]
    yield f"\n### {path}\n\n    {' '.join([path, '[OPTIONS]', *arguments])}\n\n"
    yield "\n\n".join(_joined(text) for text in (command.help or "").split("\n\n")) + "\n"
    options = [
        param
        for param in command.params
        if isinstance(param, click.Option) and not isinstance(param, GlobalOption)
    ]
    if options:
        yield "\n| option | meaning |\n|---|---|\n"
        yield from map(_option_row, options)
    yield "\n" + "".join(f"    {example}\n" for example in command.examples)


def _metavar(param: click.Argument) -> str:
    text = param.metavar or (param.name or "").upper()
    if isinstance(param.type, click.Choice):
        text = "{" + "|".join(param.type.choices) + "}"
    return text if param.required or text.startswith("[") else f"[{text}]"


def _joined(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*")


def _option_row(param: click.Option) -> str:
    flags = ", ".join(sorted(param.opts, key=len))
    if not param.is_flag and not param.count:
        kind = param.type
        value = param.metavar or ("|".join(kind.choices) if isinstance(kind, click.Choice) else "")
        flags += f" {value}"
    return f"| `{flags.replace('|', chr(92) + '|')}` | {_joined(param.help or '')} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
