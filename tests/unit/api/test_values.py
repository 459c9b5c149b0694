"""Quantities, names, times, selectors and patches against the cases of their specifications."""

from __future__ import annotations

from datetime import timedelta
from uuid import RFC_4122, UUID

import pytest

from machinery.api import names, quantity, timestamps
from machinery.api.canonical import canonical
from machinery.api.errors import BadRequest, Invalid
from machinery.api.patch import json_patch, merge_patch
from machinery.api.resources import PODS
from machinery.api.selectors import from_label_selector, parse_fields, parse_labels

QUANTITIES = [
    ("1000m", "1"), ("0.5", "500m"), ("0.5Gi", "512Mi"), ("1.5Gi", "1536Mi"), ("1.1Ki", "1127"), ("1e3", "1e3"),
    ("1048576Ki", "1Gi"), ("1024", "1024"), ("0", "0"), ("-0.5", "-500m"), ("12E6", "12e6"), ("0.1n", "1n"),
    (".5", "500m"), ("5.", "5"), ("0.5Ki", "512"), ("1000k", "1M"), ("1E", "1E"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "written"), QUANTITIES)
def test_a_quantity_is_written_in_canonical_form(text: str, written: str) -> None:
    assert quantity.canonical(text) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [("0.0001", "1m"), ("3.000023m", "4m"), ("-1u", "-1m"), ("1n", "1m"), ("1000.0005", "1000001m"),
     ("1.5Gi", "1536Mi"), ("500.000050m", "501m"), ("0", "0"), ("1e-6", "1e-3"), ("30M", "30M")],
)  # fmt: skip
def test_amounts_of_resources_are_thousandths(text: str, written: str) -> None:
    assert quantity.canonical_milli(text) == written
    pod = {"spec": {"containers": [{"resources": {"limits": {"cpu": text}}}], "overhead": {"cpu": text}}}
    made = canonical({"kind": "Pod", "apiVersion": "v1", "metadata": {}, **pod}, PODS)["spec"]
    assert (made["containers"][0]["resources"]["limits"], made["overhead"]) == ({"cpu": written}, {"cpu": written})


def test_quantities_are_compared_and_added_by_amount() -> None:
    assert quantity.parse("1000m") == quantity.parse("1")
    assert quantity.parse("1Gi") > quantity.parse("1G")
    assert str(quantity.parse("500m") + quantity.parse("1500m")) == "2"
    assert quantity.integer("1500m") == 2
    assert quantity.milli("0.25") == 250


@pytest.mark.parametrize("text", ["", "a", "1Gib", "1ee", "true", "1 Gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantities must|unable to parse"):
        quantity.parse(text)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (150, "2m30s"), (660, "11m"), (3 * 3600, "3h"), (3 * 3600 + 60, "3h1m"),
     (9 * 3600, "9h"), (2 * 86400 + 3600, "2d1h"), (9 * 86400, "9d"), (3 * 365 * 86400, "3y"), (-5, "<invalid>")],
)  # fmt: skip
def test_ages_are_shown_as_kubectl_shows_them(seconds: int, shown: str) -> None:
    assert timestamps.human_duration(timedelta(seconds=seconds)) == shown


def test_times_round_trip() -> None:
    moment = timestamps.parse_time("2026-01-02T03:04:05.123456Z")
    assert timestamps.rfc3339(moment) == "2026-01-02T03:04:05Z"
    assert timestamps.rfc3339_micro(moment) == "2026-01-02T03:04:05.123456Z"
    assert timestamps.rfc3339(timestamps.parse_time("2026-01-02T03:04:05+01:00")) == "2026-01-02T02:04:05Z"


_LAYOUT = '"2006-01-02T15:04:05Z07:00"'
_MICRO_LAYOUT = '"2006-01-02T15:04:05.000000Z07:00"'


@pytest.mark.parametrize(
    ("text", "said"),
    [("", f' as {_LAYOUT}: cannot parse "" as "2006"'),
     ("x", f' as {_LAYOUT}: cannot parse "x" as "2006"'),
     ("2026/01/02", f' as {_LAYOUT}: cannot parse "/01/02" as "-"'),
     ("2026-1-02T03:04:05Z", f' as {_LAYOUT}: cannot parse "1-02T03:04:05Z" as "01"'),
     ("2026-01-02 03:04:05Z", f' as {_LAYOUT}: cannot parse " 03:04:05Z" as "T"'),
     ("2026-01-02T03:04:05", f' as {_LAYOUT}: cannot parse "" as "Z07:00"'),
     ("2026-01-02T03:04:05.Z", f' as {_LAYOUT}: cannot parse ".Z" as "Z07:00"'),
     ("2026-01-02T03:04:05+0100", f' as {_LAYOUT}: cannot parse "+0100" as "Z07:00"'),
     ("2026-01-02T03:04:05Z\n", ': extra text: "\n"'),
     ("2026-13-02T03:04:05Z", ": month out of range"),
     ("2026-02-30T03:04:05Z", ": day out of range"),
     ("2026-01-02T24:04:05Z", ": hour out of range"),
     ("2026-01-02T03:60:05Z", ": minute out of range"),
     ("2026-01-02T03:04:60Z", ": second out of range"),
     ("2026-01-02T03:04:05+25:00", ": time zone offset hour out of range"),
     ("0001-01-01T00:00:00+14:00", ": year out of range")],
)  # fmt: skip
def test_what_is_no_time_is_refused_in_gos_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="parsing time") as raised:
        timestamps.parse_time(text)
    assert str(raised.value) == f'parsing time "{text}"{said}'


@pytest.mark.parametrize(
    ("text", "written"),
    [("2026-01-02T3:04:05Z", "2026-01-02T03:04:05.000000Z"),
     ("2026-01-02T03:04:05,5Z", "2026-01-02T03:04:05.500000Z"),
     ("2026-01-02T03:04:05.1234567890123Z", "2026-01-02T03:04:05.123456Z"),
     ("2026-01-02T00:30:00+24:00", "2026-01-01T00:30:00.000000Z"),
     ("2026-01-02T00:30:00-00:60", "2026-01-02T01:30:00.000000Z")],
)  # fmt: skip
def test_times_that_go_reads_are_read(text: str, written: str) -> None:
    assert timestamps.rfc3339_micro(timestamps.parse_time(text)) == written


@pytest.mark.parametrize(
    ("text", "rest"),
    [("2026-01-02T03:04:05Z", "Z"), ("2026-01-02T03:04:05.123Z", ".123Z"), ("2026-01-02T03:04:05.12345xZ", ".12345xZ")],
)
def test_a_micro_time_has_six_digits_after_the_second(text: str, rest: str) -> None:
    with pytest.raises(ValueError, match="parsing time") as raised:
        timestamps.parse_micro_time(text)
    assert str(raised.value) == f'parsing time "{text}" as {_MICRO_LAYOUT}: cannot parse "{rest}" as ".000000"'
    assert timestamps.parse_micro_time("2026-01-02T03:04:05.000007+01:00").microsecond == 7


def test_complaints_of_a_name_are_the_callers_to_change() -> None:
    names.config_key("..").append("more")
    assert names.config_key("..") == ["must not be '..'"]


def test_uids_are_random_uuids() -> None:
    made = [UUID(names.uid()) for _ in range(1000)]
    assert {(each.version, each.variant) for each in made} == {(4, RFC_4122)}
    assert len(set(made)) == len(made)


def test_names_are_judged_as_the_api_does() -> None:
    assert names.dns_label("a-1") == []
    assert names.dns_label("a\n") != []
    assert names.dns_label("a" * 64) == ["must be no more than 63 characters"]
    assert names.qualified_name("example.com/Name") == []
    assert names.qualified_name("/Name") == ["prefix part must be non-empty"]
    assert names.qualified_name("a" * 254 + "/" + "b" * 64) == [
        "prefix part must be no more than 253 bytes", "name part must be no more than 63 bytes",
    ]  # fmt: skip
    assert names.qualified_name("a/b/c")[0].startswith("a valid label key must consist of alphanumeric characters")
    assert names.label_value("é" * 32)[0] == "must be no more than 63 bytes"
    assert names.label_value("") == []
    assert names.port_name("http-2") == []
    assert names.port_name("80") == ["must contain at least one letter (a-z)"]


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("a=b", {"a": "b"}, True),
        ("a==b,c!=d", {"a": "b"}, True),
        ("a in (b, c)", {"a": "c"}, True),
        ("a notin (b,c)", {}, True),
        ("a,!b", {"a": "", "b": ""}, False),
        ("a>3", {"a": "4"}, True),
        ("a<3", {"a": "x"}, False),
        ("a>3", {"a": "1_0"}, False),
        ("a notin ()", {"a": "b"}, True),
        ("a notin ()", {"a": ""}, False),
        ("a in (b,)", {"a": ""}, True),
        ("", {}, True),
    ],
)
def test_label_selectors_match(text: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_labels(text).matches(labels) is matches


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a in (b,=)", "unable to parse requirement: found '=', expected: ',', or identifier"),
        ("a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, "
                "the value must be an integer"),
    ],
)  # fmt: skip
def test_a_bad_label_selector_is_refused_in_upstream_words(text: str, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_labels(text)
    assert refused.value.message == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "invalid selector: 'x'; can't understand 'x'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=b\\c", "invalid field selector: invalid escape sequence: \\c"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_a_bad_field_selector_is_refused_in_upstream_words(text: str, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_fields(text)
    assert refused.value.message == said


def test_field_selectors_tell_their_requirements() -> None:
    selector = parse_fields("metadata.name=a,status.phase!=Running")
    assert selector.exact("metadata.name") == "a"
    assert selector.matches({"metadata.name": "a", "status.phase": "Pending"}.__getitem__)
    assert parse_fields("a=b\\=c\\,d").exact("a") == "b=c,d"


def test_a_missing_label_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert not from_label_selector(None).matches({})
    assert from_label_selector({}).matches({})
    chosen = from_label_selector({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]})
    assert chosen.matches({"a": "b"})
    assert not chosen.matches({})


# RFC 7386, appendix A.
MERGES = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("doc", "patch", "merged"), MERGES)
def test_merge_patches_follow_the_rfc(doc: dict[str, object], patch: object, merged: object) -> None:
    assert merge_patch(doc, patch) == merged


# RFC 6902, appendix A.
PATCHES = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
    ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
    ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
    ({"foo": {"bar": 1}, "qux": {}}, [{"op": "move", "from": "/foo/bar", "path": "/qux/t"}],
     {"foo": {}, "qux": {"t": 1}}),
    ({"foo": ["all", "grass", "cows", "eat"]}, [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
     {"foo": ["all", "cows", "eat", "grass"]}),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["a"]}], {"foo": ["bar", ["a"]]}),
    ({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": 1, "b": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("doc", "patch", "patched"), PATCHES)
def test_json_patches_follow_the_rfc(doc: dict[str, object], patch: object, patched: object) -> None:
    assert json_patch(doc, patch) == patched


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "remove", "path": "/nothing"}],
        [{"op": "fly", "path": "/x"}],
        [{"op": "test", "path": "/baz", "value": "bar"}],
        [{"op": "add", "path": "/baz/bat", "value": "qux"}],
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(patch: object) -> None:
    doc = {"baz": "qux"}
    with pytest.raises(Invalid, match="the server rejected our request due to an error in our request"):
        json_patch(doc, patch)
    assert doc == {"baz": "qux"}
