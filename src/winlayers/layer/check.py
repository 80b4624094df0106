"""Looks at a layer as Windows would, without Windows: what it refuses, what it makes of the rest, what is lost.

    for finding in check_layer(table, is_base=False, parents=tables_below, known=table.findings()):
        print(finding, finding.rule.remedy)

The laws of ``layer.entry`` are kept by every import, and what an import found comes in as ``known``; here are
the rules that need the layer as a whole, or that are no ground for us to refuse it. One layer is walked once,
and each descriptor looked at once. This module refuses to know how a layer is kept, and does not look into
the content of files but for the first bytes of hives.

Source: what is refused and lost is that of microsoft/hcsshim, microsoft/go-winio and the issue threads named
in ``docs/reference/findings.md``; each module of ``layer.checks`` names its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from winlayers.layer.checks.builds import check_build
from winlayers.layer.checks.layout import check_layout, foreign_kind, looks_like_base
from winlayers.layer.checks.links import LinkCheck
from winlayers.layer.checks.metadata import MetadataCheck
from winlayers.layer.checks.placement import check_placement
from winlayers.layer.checks.removals import check_whiteout
from winlayers.layer.checks.reparse import check_reparse_point
from winlayers.layer.checks.subject import Subject
from winlayers.layer.entry import EntryKind
from winlayers.layer.findings import Finding
from winlayers.layer.merge import LayerTable
from winlayers.layer.names import FILES, ROOT_NAMES

#: Findings of one code that are told one by one; the rest is counted.
DEFAULT_LIMIT = 100

# What follows from a thing being no layer at all, and would drown the one finding that says so.
_EXPLAINED = frozenset(
    {
        "root-unknown",
        "parent-missing",
        "parent-not-directory",
        "link-outside",
        "link-target-missing",
        "whiteout-outside",
    }
)
# What may stand beside a layer that is worth a look itself, as in a packed folder of Docker's.
_BESIDE_A_LAYER = frozenset({"layer-cim", "layer-vhd"})


def check_layer(
    table: LayerTable,
    *,
    is_base: bool,
    parents: Sequence[LayerTable] = (),
    known: Iterable[Finding] = (),
    image_build: int | None = None,
    host_build: int | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Iterator[Finding]:
    """Find what is wrong with a layer, and what Windows loses of it.

    Args:
        table: the layer; it stays open.
        is_base: it has no parents.
        parents: the layers that it stands on, nearest first; they stay open. Where they are not at hand,
            what needs them is not looked at: whiteouts of nothing, dangling links, rights not repeated.
        known: what the import, or the tolerant reading of a tar, found; passed on.
        image_build: build of Windows that the image is made for, if known.
        host_build: build of the host it is to run on, if it matters.
        limit: how many findings of one code are told one by one; one more then says how many there are.
    Returns:
        The findings: those known, those of the whole, those of the entries in folded order, then sums.
    """
    subject = Subject.of(table, is_base=is_base, parents=parents)
    found = _check(subject, known)
    if image_build is not None and host_build is not None:
        build = check_build(image_build, host_build)
        found = _after(build, found)
    return bounded(found, limit)


def guess_is_base(table: LayerTable) -> bool:
    """Whether a layer that came without a word about its parents looks like one that has none."""
    return looks_like_base(Subject.of(table, is_base=True, parents=()))


def bounded(findings: Iterable[Finding], limit: int = DEFAULT_LIMIT) -> Iterator[Finding]:
    """The first findings of each code, and at the end how many more there were.

    Args:
        findings: any number.
        limit: how many of one code are passed on.
    """
    counts: Counter[str] = Counter()
    layer_id = ""
    for finding in findings:
        counts[finding.code] += 1
        if counts[finding.code] <= limit:
            layer_id = finding.layer_id
            yield finding
    for code, count in counts.items():
        if count > limit:
            yield Finding(code, "", f"and {count - limit:,} more", layer_id)


def _after(first: Finding | None, rest: Iterator[Finding]) -> Iterator[Finding]:
    if first is not None:
        yield first
    yield from rest


def _check(subject: Subject, known: Iterable[Finding]) -> Iterator[Finding]:
    foreign = foreign_kind(subject)
    if foreign is not None:
        yield foreign
        yield from (finding for finding in known if finding.code not in _EXPLAINED)
    else:
        yield from known
    if foreign is None or (foreign.code in _BESIDE_A_LAYER and subject.top(FILES)):
        yield from check_layout(subject)
        yield from _check_entries(subject)


def _check_entries(subject: Subject) -> Iterator[Finding]:
    metadata, links = MetadataCheck(subject), LinkCheck(subject)
    for node in subject.walk():
        if node.path.partition("/")[0] not in ROOT_NAMES:
            continue
        if node.kind is EntryKind.WHITEOUT:
            yield from check_whiteout(subject, node)
            continue
        entry = subject.entry(node)
        yield from check_placement(subject, node)
        yield from metadata.check(node, entry)
        if node.kind is EntryKind.LINK:
            yield from links.check(node)
        elif entry.reparse:
            yield from check_reparse_point(subject, node, entry)
    yield from links.finish()
