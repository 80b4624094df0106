"""Lines of a Dockerfile become edits."""

from __future__ import annotations

import pytest

from winlayers.errors import InvalidArgument
from winlayers.making.instructions import parse_changes, parse_command
from winlayers.making.settings import Command, Edits


def test_each_instruction_is_read() -> None:
    edits = parse_changes(
        [
            'ENTRYPOINT ["app.exe", "-x"]',
            'cmd ["a b"]',
            "ENV A=b C=d",
            "ENV E the rest of it",
            'LABEL "a b"="c d" e=f',
            "USER ContainerUser",
            "WORKDIR C:\\app",
            "EXPOSE 80 53/udp",
            "STOPSIGNAL SIGTERM",
        ]
    )
    assert edits == Edits(
        entrypoint=Command(("app.exe", "-x")),
        command=Command(("a b",)),
        env={"A": "b", "C": "d", "E": "the rest of it"},
        labels={"a b": "c d", "e": "f"},
        user="ContainerUser",
        working_dir="C:\\app",
        ports=("80", "53/udp"),
        stop_signal="SIGTERM",
    )


def test_later_lines_count_and_old_edits_stay() -> None:
    edits = parse_changes(["ENV A=2", "USER b", "USER c"], Edits(env={"A": "1", "B": "1"}))
    assert edits == Edits(env={"A": "2", "B": "1"}, user="c")


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("ENV P=C:\\a;C:\\b\\", "P", "C:\\a;C:\\b\\"),
        ('ENV P="C:\\a b\\c"', "P", "C:\\a b\\c"),
        ('ENV P="say \\"x\\" \\\\"', "P", 'say "x" \\'),
        ("ENV P='a \"b\"'", "P", 'a "b"'),
        ("ENV P=a=b", "P", "a=b"),
        ("ENV P=", "P", ""),
        ("ENV P it's", "P", "it's"),
    ],
)
def test_backslashes_and_quotes(line: str, name: str, value: str) -> None:
    assert parse_changes([line]).env == {name: value}


@pytest.mark.parametrize(
    "line",
    ["", "RUN x", "ENV", "ENV A", 'ENV A="x', "LABEL a=b c", "VOLUME C:\\x", "USER "],
)
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_changes([line])


@pytest.mark.parametrize("text", ["echo a", '["a"', '["a", 1]', "[" * 100_000])
def test_what_is_no_array_of_strings_is_a_line_for_the_shell(text: str) -> None:
    assert parse_command(text) == Command((text,), is_shell=True)
