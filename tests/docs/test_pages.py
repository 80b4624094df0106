"""The test of the documents finds what is wrong in a page."""

from __future__ import annotations

import pytest

from tests.docs.pages import Command, commands_of, fenced_blocks, fits

PAGE = """Text.

```console
$ one  # exit 3
said

$ two \\
>     more
```

    ```console
    $ indented
    ```

```python
print(1)
```
"""


def test_blocks_are_found_with_their_lines() -> None:
    found = [(block.language, block.line_number) for block in fenced_blocks(PAGE)]
    assert found == [("console", 4), ("python", 16)]


def test_fence_without_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 2 is not closed"):
        list(fenced_blocks("```console\n$ one\n"))


def test_commands_have_output_and_status() -> None:
    first, second = commands_of(next(fenced_blocks(PAGE)))
    assert first == Command("one  # exit 3", ("said",), 3, 4)
    assert second == Command("two \\\n    more", (), 0, 7)


def test_output_before_any_command_is_an_error() -> None:
    with pytest.raises(ValueError, match="before any command"):
        commands_of(next(fenced_blocks("```console\nsaid\n```\n")))


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ((), ""),
        (("a",), "a\n"),
        (("a",), "a  \r\n\n"),
        (("size ... bytes",), "size 12 bytes\n"),
        (("a", "...", "z"), "a\nb\nc\nz\n"),
        (("a", "...", "z"), "a\nz\n"),
        (("a", "..."), "a\n"),
        (("a", "", "b"), "a\n\nb\n"),
        (("a.b (c)",), "a.b (c)"),
    ],
)
def test_output_that_fits(expected: tuple[str, ...], actual: str) -> None:
    assert fits(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ((), "a"),
        (("a",), ""),
        (("a",), "b"),
        (("a",), "a\nb"),
        (("a ...",), "a\nb"),
        (("...", "z"), "a\n"),
        (("a.b",), "axb"),
    ],
)
def test_output_that_does_not_fit(expected: tuple[str, ...], actual: str) -> None:
    assert not fits(expected, actual)
