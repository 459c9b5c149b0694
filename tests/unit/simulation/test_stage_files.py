"""Stages written as KWOK's users write them: selectors in jq, statuses in Go templates, delays from the object."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controllers.plan import Delete, Patch, Record
from machinery.api.resource import Object
from machinery.api.resources import CONFIG_MAPS
from machinery.client.cache import Change
from minikube_py.simulation.gotemplate import TemplateError, template
from minikube_py.simulation.jq import QueryError, query
from minikube_py.simulation.stage_book import StageBook
from minikube_py.simulation.stage_files import StageError, read
from minikube_py.simulation.stages import Moment, Scene

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = Path(__file__).with_name("testdata").joinpath("stages.yaml").read_text()
START, FAIL, CLEAN_UP = read(TEXT)
OBJECT: Object = {
    "metadata": {"name": "a", "labels": {"x/y": "z"}, "owners": [{"kind": "Job"}, {"kind": None}]},
    "status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Other", "status": "True"}], "n": 3},
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (".metadata.name", ["a"]),
        (".metadata.missing.deeper", []),
        ('.metadata.labels["x/y"]', ["z"]),
        ('.metadata.labels."x/y"', ["z"]),
        ('.metadata["labels"]["x/y"]', ["z"]),
        (".metadata.owners.[].kind", ["Job"]),
        (".metadata.owners[].kind", ["Job"]),
        (".metadata.owners[-2].kind", ["Job"]),
        (".metadata.owners[7].kind", []),
        ('.status.conditions.[] | select( .type == "Ready" ) | .status', ["False"]),
        ('.status.conditions[] | select(.type == "Ready" and .status != "True" or false) | .type', ["Ready"]),
        (".status.conditions | length", [2]),
        ("[.status.n] | length", None),
        (".status.n > 2, .status.n <= 2", [True, False]),
        ('.metadata.missing // "other"', ["other"]),
        (".metadata.owners | map(.kind) | first", ["Job"]),
        ('.metadata.labels | has("x/y") | not', [False]),
        ('.metadata.name | test("^a$")', [True]),
        (".status.n[]?", []),
        (".status.n[]", None),
        (".metadata.name.deeper", None),
    ],
)
def test_objects_are_asked_in_jq(text: str, wanted: list[Any] | None) -> None:
    if text.startswith("["):
        with pytest.raises(QueryError):
            query(text)
        return
    assert query(text)(OBJECT) == wanted


@pytest.mark.parametrize("text", [".a |", ".a ==", "select(", ".a)", "nonsense", ".a & .b", '."a', ""])
def test_a_query_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        query(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{{ .a.b }}|{{ .a.missing.deeper }}", "1|<no value>"),
        ("{{ if .empty }}yes{{ else if .a }}other{{ else }}no{{ end }}", "other"),
        ("{{ range $i, $x := .list }}{{ $i }}={{ $x }} {{ else }}none{{ end }}", "0=x 1=y "),
        ("{{ range .empty }}some{{ else }}none{{ end }}", "none"),
        ("{{ range .list }}{{ if eq . `y` }}{{ break }}{{ end }}{{ . }}{{ end }}", "x"),
        ("{{ range .list }}{{ if eq . `x` }}{{ continue }}{{ end }}{{ . }}{{ end }}", "y"),
        ("{{ with .a }}{{ .b }}{{ $.list }}{{ else }}none{{ end }}", "1[x y]"),
        ("{{ $found := false }}{{ range .list }}{{ $found = true }}{{ end }}{{ $found }}", "true"),
        ("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ end }}{{ $x }}", "1"),
        ("a  {{- /* nothing */ -}}  b", "ab"),
        ("{{ or .missing `x` | Quote }}", '"x"'),
        ("{{ printf `%s-%03d %q %v%%` .list 7 `z` true }}", '[x y]-007 "z" true%'),
        ("{{ index .list 1 }}{{ index .a `b` }}{{ (index .maps 0).k }}", "y1v"),
        ("{{ len .list | add 3 }}", "5"),
        ("{{ YAML .a 1 }}", "\n  b: 1\n  "),
        ("{{ and .a.b (not .empty) (lt 1 2) (ne 1 2) }}", "true"),
        ("{{ (dict `k` `v`).k }}{{ default `d` .missing }}{{ `}}` }}", "vd}}"),
    ],
)
def test_templates_are_filled_in_as_go_does(text: str, wanted: str) -> None:
    value = {"a": {"b": 1}, "list": ["x", "y"], "empty": [], "maps": [{"k": "v"}]}
    assert template(text)(value, {}) == wanted


@pytest.mark.parametrize(
    "text", ["{{ if .a }}", "{{ end }}", "{{ }}", "{{ .a", "{{ template `x` }}", "{{ (.a }}", "{{ .a .b }}"]
)
def test_a_template_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        template(text)


@pytest.mark.parametrize("text", ["{{ nonsense .a }}", "{{ index .list 9 }}", "{{ range .word }}{{ end }}"])
def test_a_template_that_can_not_be_filled_in_says_why(text: str) -> None:
    with pytest.raises(TemplateError):
        template(text)({"list": [], "word": "x"}, {})


def pod(phase: str = "Pending", *, deleted: str = "", containers: int = 3, **metadata: Any) -> Object:
    named: Object = {"name": "p", "namespace": "n", "uid": "u", **metadata}
    if deleted:
        named["deletionTimestamp"] = deleted
    spec = {"nodeName": "s", "containers": [{"name": f"c{number}"} for number in range(containers)]}
    return {"kind": "Pod", "metadata": named, "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("obj", "stages"),
    [
        (pod(), ["start"]),
        (pod("Failed"), []),
        (pod("Running", labels={"fate": "fail"}), ["start", "fail"]),
        (pod("Running", deleted="2026-01-01T00:00:05Z"), ["clean-up"]),
    ],
)
def test_a_file_says_which_objects_its_stages_are_for(obj: Object, stages: list[str]) -> None:
    assert [stage.name for stage in (START, FAIL, CLEAN_UP) if stage.matches(obj)] == stages


@pytest.mark.parametrize(
    ("stage", "obj", "seconds"),
    [
        (START, pod(), 3.0),
        (START, pod(annotations={"start/delay": "10s"}), 4.0),
        (START, pod(annotations={"start/delay": "1s"}), 2.5),
        (START, pod(annotations={"start/delay": "nonsense"}), 3.0),
        (FAIL, pod(), 0.0),
        (CLEAN_UP, pod(deleted="2026-01-01T00:00:05Z"), 5.0),
        (CLEAN_UP, pod(deleted="2025-12-31T00:00:00Z"), 0.0),
    ],
)
def test_delays_come_from_the_file_or_from_the_object(stage: Any, obj: Object, seconds: float) -> None:
    assert stage.delay(obj, Moment(NOW, jitter=0.5)) == timedelta(seconds=seconds)


def test_weights_come_from_the_object() -> None:
    assert [FAIL.weight(pod(annotations={"weight": said})) for said in ("7", "x")] == [7, None]
    assert (FAIL.weight(pod()), START.weight(pod())) == (0, 1)


def test_a_stage_tells_adds_its_finalizer_and_writes_the_status() -> None:
    told, finalized, patched = START.act(pod(), Scene(NOW, "198.18.0.1", "100.64.0.1"))
    assert told == Record(pod(), "Normal", "Started", "started at last")
    assert isinstance(finalized, Patch)
    assert finalized.patch == {"metadata": {"uid": "u", "finalizers": ["example.com/cleanup"]}}
    assert isinstance(patched, Patch)
    assert patched.subresource == "status"
    status = patched.patch["status"]
    assert (status["phase"], status["podIP"]) == ("Running", "100.64.0.1")
    # YAML would read a time; the API has texts.
    assert status["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert [each["restartCount"] for each in status["containerStatuses"]] == [0, 1, 42]


def test_patches_and_deletions_are_carried_out_as_the_file_says() -> None:
    (failed,) = FAIL.act(pod("Running", labels={"fate": "fail"}), Scene(NOW))
    assert isinstance(failed, Patch)
    assert failed.is_strategic
    assert failed.patch == {"metadata": {"uid": "u"}, "status": {"phase": "Failed", "reason": "FAIL"}}
    finalized, gone = CLEAN_UP.act(pod(deleted="2026-01-01T00:00:00Z", finalizers=["example.com/cleanup"]), Scene(NOW))
    assert isinstance(finalized, Patch)
    assert finalized.patch["metadata"]["finalizers"] is None
    assert isinstance(gone, Delete)
    assert gone.grace_period_seconds == 0


STAGE = "kind: Stage\nmetadata: {name: s}\nspec: "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no Stage in it"),
        ("a: [", "no YAML"),
        ("kind: Pod", "a document that is no Stage"),
        (f"{STAGE}{{}}", "stage s is malformed: KeyError"),
        (f"{STAGE}{{resourceRef: {{kind: Service}}}}", "stage s: objects of kind Service are not played"),
        (
            f"{STAGE}{{resourceRef: {{kind: Pod}}, selector: {{matchExpressions: [{{cel: {{expression: x}}}}]}}}}",
            "stage s: expressions in CEL",
        ),
        (
            f"{STAGE}{{resourceRef: {{kind: Pod}}, next: {{patches: [{{type: json}}]}}}}",
            "stage s: patches of type 'json'",
        ),
        (f"{STAGE}{{resourceRef: {{kind: Pod}}, next: {{statusTemplate: '{{{{ if }}}}'}}}}", "stage s: missing value"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_stages_name(text: str, said: str) -> None:
    with pytest.raises(StageError, match=said):
        read(text)


def config_map(text: str) -> Object:
    return {"metadata": {"name": "simulated-stages", "namespace": "kube-system"}, "data": {"stages.yaml": text}}


def test_a_files_stages_take_the_place_of_the_built_in_ones_of_their_kind() -> None:
    book = StageBook()
    assert not book.read(Change(CONFIG_MAPS, None, {"metadata": {"name": "x", "namespace": "kube-system"}}))
    assert book.read(Change(CONFIG_MAPS, None, config_map(TEXT)))
    assert [stage.name for stage in book.stages("Pod")] == ["start", "fail", "clean-up"]
    assert [stage.name for stage in book.stages("Node")] == ["node-initialize"]
    assert not book.read(Change(CONFIG_MAPS, config_map(TEXT), config_map("kind: Pod")))
    assert [stage.name for stage in book.stages("Pod")] == ["start", "fail", "clean-up"]
    assert book.read(Change(CONFIG_MAPS, config_map(TEXT), None))
    assert [stage.name for stage in book.stages("Pod")] == ["pod-ready", "pod-complete", "pod-delete"]
