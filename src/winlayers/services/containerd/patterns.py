"""Regular expressions that strangers send, found in time that is bounded.

Those of Python go back and try again, for hours where one is made for it. Here all ways of a match are followed at once,
as RE2 does it, which is what containerd has. Each step is counted, and there is an end to them.

    x . [a-z] [^a-z] \\d \\w \\s \\D \\W \\S     one character
    ^ $ \\A \\z                              begin and end of the text
    xy x|y (x) (?:x) x* x+ x? x{2} x{2,} x{2,5}, and a ? after what repeats, which says nothing here
    (?i) (?s)                             at the very beginning: letters of either case; a dot is a line feed too

Nothing else is taken. This module only tells whether there is a match, not where.

Source: RE2 syntax; K. Thompson, Regular expression search algorithm (CACM 11:6, 1968).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from winlayers.errors import InvalidArgument

_MAX_NODES = 2000
_MAX_DEPTH = 50
_MAX_REPEAT = 1000
_MAX_CACHED = 10_000
MAX_STEPS = 5_000_000
"""Steps that one pattern takes, over all texts that it is looked for in; some seconds."""

Accepts = Callable[[str], bool]

_CLASSES: dict[str, Accepts] = {
    "d": lambda char: "0" <= char <= "9",
    "w": lambda char: char == "_" or (char.isascii() and char.isalnum()),
    "s": lambda char: char in "\t\n\f\r ",
}
_ESCAPES = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_REPEATS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


@dataclass(eq=False, slots=True)
class _Node:
    """One character, or ways to go on without one.

    Attributes:
        accepts: the character; None for the other.
        anchor: ``^`` or ``$`` where that has to hold to go on.
        nexts: where it goes on; nothing is the end of the pattern.
    """

    accepts: Accepts | None = None
    anchor: str = ""
    nexts: list[_Node] = field(default_factory=list)


_States = frozenset[_Node]


class Pattern:
    """A regular expression.

    Args:
        text: of it.
        max_steps: see ``MAX_STEPS``.
    Raises:
        InvalidArgument: it is none, has what is not taken, or is too large.
    """

    def __init__(self, text: str, *, max_steps: int = MAX_STEPS) -> None:
        self._text = text
        self._steps_left = max_steps
        parser = _Parser(text)
        self._end = _Node()
        self._start = parser.parse(self._end)
        self._cache: dict[tuple[_States, str], _States] = {}

    def is_in(self, text: str) -> bool:
        """Whether there is a match anywhere in a text.

        Raises:
            InvalidArgument: it takes too many steps.
        """
        states = self._follow([self._start], is_begin=True, is_end=not text)
        for index, char in enumerate(text):
            if self._end in states:
                return True
            self._count(1)
            if index == len(text) - 1:
                return self._end in self._step(states, char, is_end=True)
            known = self._cache.get((states, char))
            if known is None:
                known = self._step(states, char, is_end=False)
                if len(self._cache) >= _MAX_CACHED:
                    self._cache.clear()
                self._cache[states, char] = known
            states = known
        return self._end in states

    def _step(self, states: _States, char: str, *, is_end: bool) -> _States:
        """Where one is after a character; a match may begin after it, too."""
        reached = [self._start]
        for node in states:
            if node.accepts is not None and node.accepts(char):
                reached += node.nexts
        return self._follow(reached, is_begin=False, is_end=is_end)

    def _follow(self, nodes: list[_Node], *, is_begin: bool, is_end: bool) -> _States:
        """All that is reached without a character."""
        found: set[_Node] = set()
        while nodes:
            node = nodes.pop()
            if node in found:
                continue
            found.add(node)
            if node.accepts is not None:
                continue
            holds = {"": True, "^": is_begin, "$": is_end}[node.anchor]
            if holds:
                nodes += node.nexts
        self._count(len(found))
        return frozenset(found)

    def _count(self, steps: int) -> None:
        self._steps_left -= steps
        if self._steps_left < 0:
            raise InvalidArgument(
                f"regular expression {self._text[:100]!r} takes too long; use a simpler one"
            )


class _Parser:
    """Makes nodes of a text; each part is told of what comes after it, from which it can be made any number of times."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._count = 0
        self._is_caseless = False
        self._is_dot_all = False

    def parse(self, end: _Node) -> _Node:
        if self._takes("(?"):
            self._flags()
        part = self._choice()
        if self._at < len(self._text):
            raise self._fault("a parenthesis closes nothing")
        return part(end)

    def _flags(self) -> None:
        closing = self._text.find(")", self._at)
        flags = set(self._text[self._at : closing]) if closing >= 0 else set()
        if not flags or flags - {"i", "s"}:
            self._at -= 2  # a group, or what is not taken
            return
        self._is_caseless, self._is_dot_all = "i" in flags, "s" in flags
        self._at = closing + 1

    def _choice(self) -> _Part:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._fault(f"groups are in one another more than {_MAX_DEPTH} deep")
        choices = [self._sequence()]
        while self._takes("|"):
            choices.append(self._sequence())
        self._depth -= 1
        if len(choices) == 1:
            return choices[0]
        return lambda after: self._node(nexts=[choice(after) for choice in choices])

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated())

        def make(after: _Node) -> _Node:
            for part in reversed(parts):
                after = part(after)
            return after

        return make

    def _repeated(self) -> _Part:
        part = self._one()
        bounds = self._bounds()
        if bounds is None:
            return part
        if self._bounds() is not None:
            raise self._fault("what repeats is repeated")
        least, most = bounds
        if (most is not None and most < least) or max(least, most or 0) > _MAX_REPEAT:
            raise self._fault(f"{least} to {most} times cannot be")

        def make(after: _Node) -> _Node:
            made = after
            self._grow(max(least, most or 0))  # also where nothing is repeated
            if most is None:
                made = self._node(nexts=[after])
                made.nexts.append(part(made))
            else:
                for _ in range(most - least):
                    made = self._node(nexts=[part(made), after])
            for _ in range(least):
                made = part(made)
            return made

        return make

    def _bounds(self) -> tuple[int, int | None] | None:
        """How often what came before is to be there; None where that is not said."""
        char = self._text[self._at : self._at + 1]
        if char in _REPEATS and char:
            self._at += 1
            bounds = _REPEATS[char]
        elif char == "{":
            closing = self._text.find("}", self._at)
            least, comma, most = self._text[self._at + 1 : closing].partition(",")
            if closing < 0 or not _is_number(least) or (most and not _is_number(most)):
                raise self._fault("a brace has no numbers")
            self._at = closing + 1
            bounds = int(least), int(most) if most else None if comma else int(least)
        else:
            return None
        self._takes("?")
        return bounds

    def _one(self) -> _Part:
        char = self._next()
        if char == "(":
            if self._takes("?") and not self._takes(":"):
                raise self._fault("this kind of group is not taken")
            part = self._choice()
            if not self._takes(")"):
                raise self._fault("a parenthesis is not closed")
            return part
        if char in "^$":
            return self._anchored(char)
        if char == "[":
            return self._accepting(self._set())
        if char == ".":
            return self._accepting(lambda found: self._is_dot_all or found != "\n")
        if char in "*+?{":
            raise self._fault("nothing is there to be repeated")
        if char != "\\":
            return self._accepting(self._literal(char))
        if self._takes("A"):
            return self._anchored("^")
        if self._takes("z"):
            return self._anchored("$")
        return self._accepting(self._escaped())

    def _escaped(self) -> Accepts:
        char = self._next()
        if char.lower() in _CLASSES:
            accepts = _CLASSES[char.lower()]
            return accepts if char.islower() else lambda found: not accepts(found)
        return self._literal(self._escaped_char(char))

    def _escaped_char(self, char: str) -> str:
        if char.isascii() and char.isalnum() and char not in _ESCAPES:
            raise self._fault(f"\\{char} is not taken")
        return _ESCAPES.get(char, char)

    def _set(self) -> Accepts:
        negated = self._takes("^")
        accepted: list[Accepts] = []
        while not accepted or not self._takes("]"):
            if self._text.startswith("[:", self._at):
                raise self._fault("classes with names are not taken")
            accepted.append(self._set_item())
        return lambda found: any(accepts(found) for accepts in accepted) is not negated

    def _set_item(self) -> Accepts:
        first = self._next()
        if first == "\\":
            if self._text[self._at : self._at + 1].lower() in ("d", "w", "s"):
                return self._escaped()
            first = self._escaped_char(self._next())
        dash = self._text[self._at : self._at + 2]
        if len(dash) < 2 or dash[0] != "-" or dash[1] == "]":
            return self._literal(first)
        self._at += 1
        last = self._next()
        if last == "\\":
            last = self._escaped_char(self._next())
        if last < first:
            raise self._fault("a range ends before it begins")
        if not self._is_caseless:
            return lambda found: first <= found <= last
        return lambda found: any(first <= one <= last for one in (found.lower(), found.upper()))

    def _literal(self, char: str) -> Accepts:
        if self._is_caseless:
            return lambda found: found.lower() == char.lower()
        return lambda found: found == char

    def _accepting(self, accepts: Accepts) -> _Part:
        return lambda after: self._node(accepts, nexts=[after])

    def _anchored(self, anchor: str) -> _Part:
        return lambda after: self._node(anchor=anchor, nexts=[after])

    def _node(
        self, accepts: Accepts | None = None, *, anchor: str = "", nexts: list[_Node]
    ) -> _Node:
        self._grow(1)
        return _Node(accepts, anchor, nexts)

    def _grow(self, count: int) -> None:
        self._count += count
        if self._count > _MAX_NODES:
            raise self._fault("it is too large")

    def _next(self) -> str:
        if self._at == len(self._text):
            raise self._fault("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _takes(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _fault(self, reason: str) -> InvalidArgument:
        return InvalidArgument(
            f"{self._text[:100]!r} is no regular expression that can be looked for: {reason} (character {self._at})"
        )


_Part = Callable[[_Node], _Node]
"""Makes nodes that go on at another."""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4
