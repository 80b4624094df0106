"""containerd's language of filters."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.errors import InvalidArgument
from winlayers.services.containerd.filters import parse_filters
from winlayers.store.snapshots import Snapshot, SnapshotKind

KEY = "default/3/sha256:abc"
FOUND = Snapshot(
    KEY,
    7,
    SnapshotKind.COMMITTED,
    "default/2/base",
    {"one": "1", "a.b/c": "d,e", "dash-ed": "yes", "long": 'a"b|c/d'},
    1,
    2,
    "layer",
)
BARE = Snapshot("bare", 8, SnapshotKind.ACTIVE, "", {}, 1, 2, "")


def passes(*filters: str, snapshot: Snapshot = FOUND) -> bool:
    return parse_filters(filters)(snapshot)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        f"name=={KEY}",
        f'name=="{KEY}"',
        f"name==|{KEY}|",
        "name!=other",
        "name~=sha256",
        "name~=/^default\\/[0-9]/",
        "name~=|^default/[0-9]+/|",
        'name~="abc$"',
        'name=="default/\\x33/sha256:abc"',
        'name=="default/\\063/sha256:abc"',
        'name=="default/\\u0033/sha256:\\U00000061bc"',
        "parent",
        "parent==default/2/base",
        "kind==committed",
        "kind!=active",
        "labels.one",
        "labels.one==1",
        "labels.one!=2",
        "labels.dash-ed==yes",
        'labels."a.b/c"=="d,e"',
        'labels.a."b/c"~=d',
        'labels.long=="a\\"b|c/d"',
        "labels.none!=1",
        "nothing!=1",
        "kind==committed,labels.one==1,name~=abc",
        "  kind == committed , labels . one == 1 ",
    ],
)
def test_filter_that_holds(text: str) -> None:
    assert passes(text)


@pytest.mark.parametrize(
    "text",
    [
        "name==other",
        f"name!={KEY}",
        "name~=^abc",
        "kind==active",
        "kind==committed,labels.one==2",
        "labels",
        "labels.none",
        "labels.none==1",
        'labels.none==""',
        "labels.one==11",
        "nothing",
        "nothing.at.all==1",
        "name.more",
    ],
)
def test_filter_that_does_not_hold(text: str) -> None:
    assert not passes(text)


def test_field_of_nothing_is_not_there() -> None:
    assert not passes("parent", snapshot=BARE)
    assert passes("parent!=x", snapshot=BARE)
    assert passes("name==bare", snapshot=BARE)
    assert not passes('parent==""', snapshot=BARE)


def test_one_of_several_filters_has_to_hold() -> None:
    assert passes()
    assert passes("name==other", "kind==committed")
    assert not passes("name==other", "kind==view")


@pytest.mark.parametrize(
    "text",
    [
        *(
            ",",
            "name,",
            ",name",
            "name==",
            "name=",
            "name=a",
            "name===a",
            "name<a",
            "name a",
            "==a",
            ".",
        ),
        *(
            "labels.",
            "labels..a",
            'labels."a',
            'name=="a',
            "name==|a",
            "name==/a",
            "name==a b",
            "name==a,",
        ),
        *(
            'name=="a"b',
            'name=="\\q"',
            'name=="\\',
            'name=="\\x1"',
            'name=="\\U00110000"',
            'name=="\n"',
        ),
        *('name~="\\d"', "name==.a", "é==1", "\0", "name==a\0 b", "name=~a", "name@=a"),
        *("name~=(", "name~=/(a/", "name~=(?=a)", "name~=|a{2000}|"),
        *("name," * 5000, "a" * 16385, "name~=" + "(" * 16000),
    ],
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        passes(text)


def test_number_of_filters_has_a_limit() -> None:
    assert passes(*["name"] * 100)
    with pytest.raises(InvalidArgument, match="101 filters"):
        passes(*["name"] * 101)


def test_expression_that_goes_back_and_again_hangs_nobody() -> None:
    long = Snapshot("a" * 8000 + "!", 9, SnapshotKind.ACTIVE, "", {}, 1, 2, "")
    started = time.monotonic()
    assert not passes("name~=(a+)+$", snapshot=long)
    assert not passes("name~=|(.*)*(.*)*(.*)*=|", snapshot=long)
    assert time.monotonic() - started < 2


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text('name.labels=!~,"/|\\ (x*[])', max_size=40) | st.text(max_size=30))
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    holds: bool | None
    try:
        holds = passes(text)
    except InvalidArgument:
        holds = None
    assert holds in (True, False, None)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters='\\"\n'), min_size=1)
)
def test_quoted_value_is_taken_as_it_is(value: str) -> None:
    snapshot = Snapshot(value, 1, SnapshotKind.VIEW, "", {value: value}, 1, 1, "")
    assert passes(f'name=="{value}",labels."{value}"=="{value}"', snapshot=snapshot)
