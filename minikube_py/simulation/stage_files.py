"""Stages as KWOK's users write them: YAML documents of kind Stage, read into values.

What is not understood is refused with the stage's name, so that nobody waits for what will never happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from controllers.plan import Action, Delete, Patch, Record, key_of
from machinery.api.resource import Object, Resource
from machinery.api.resources import NODES, PODS
from machinery.api.timestamps import parse_time
from machinery.api.views import View
from minikube_py.config import ConfigError
from minikube_py.config import duration as go_duration
from minikube_py.simulation.gotemplate import TemplateError, template
from minikube_py.simulation.jq import QueryError, query
from minikube_py.simulation.stages import Lasting, Matches, Scene, Stage, Weight
from minikube_py.simulation.template_functions import of_scene

_RESOURCES = {"Node": NODES, "Pod": PODS}


class StageError(ValueError):
    """A file that holds no stages, or one that is not understood: one line for the user."""


def read(text: str) -> tuple[Stage, ...]:
    """The stages of a file, in order."""
    import yaml

    from machinery.api.yaml_body import load_all

    try:
        documents = [each for each in load_all(text) if each is not None]
    except yaml.YAMLError as error:
        raise StageError(f"no YAML: {error}") from None
    items = [item for each in documents for item in _items(each)]
    if not items:
        raise StageError("there is no Stage in it")
    return tuple(_stage(item) for item in items)


def _items(document: Any) -> Iterable[Any]:
    if isinstance(document, dict) and str(document.get("kind", "")).endswith("List"):
        return document.get("items") or ()
    return (document,)


def _stage(obj: Any) -> Stage:
    if not isinstance(obj, dict) or obj.get("kind") != "Stage":
        raise StageError("a document that is no Stage")
    name = str((obj.get("metadata") or {}).get("name") or "")
    try:
        return _read(name, obj.get("spec") or {})
    except (QueryError, TemplateError, StageError) as error:
        raise StageError(f"stage {name}: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StageError(f"stage {name} is malformed: {type(error).__name__}: {error}") from None


def _read(name: str, spec: Object) -> Stage:
    kind = spec["resourceRef"]["kind"]
    if kind not in _RESOURCES:
        raise StageError(f"objects of kind {kind} are not played, only {' and '.join(_RESOURCES)}")
    delay = spec.get("delay") or {}
    return Stage(
        name,
        kind,
        _selector(spec.get("selector")),
        _acts(_RESOURCES[kind], spec.get("next") or {}),
        _weight(spec),
        _lasting(delay, "duration"),
        _lasting(delay, "jitterDuration"),
        has_delay=bool(delay),
    )


def _selector(selector: Object | None) -> Matches:
    """A stage without a selector is for nothing, one with an empty selector for everything."""
    if selector is None:
        return lambda obj: False
    labels, annotations = selector.get("matchLabels") or {}, selector.get("matchAnnotations") or {}
    wanted = [_requirement(each) for each in selector.get("matchExpressions") or ()]

    def matches(obj: Object) -> bool:
        view = View(obj)
        if not (labels.items() <= view.labels.items() and annotations.items() <= view.annotations.items()):
            return False
        return all(each(obj) for each in wanted)

    return matches


def _requirement(said: Object) -> Matches:
    if "cel" in said:
        raise StageError("expressions in CEL are not understood; use jq")
    said = said.get("jq") or said
    ask, word, values = query(said["key"]), said["operator"], [str(value) for value in said.get("values") or ()]
    if word in ("In", "NotIn"):
        return lambda obj: any(_word(each) in values for each in ask(obj) or ()) == (word == "In")
    if word in ("Exists", "DoesNotExist"):
        return lambda obj: bool(ask(obj)) == (word == "Exists")
    raise StageError(f"operator {word!r} is none of In, NotIn, Exists, DoesNotExist")


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _from(said: Object | None) -> Callable[[Object], Any]:
    """The first result of an expression about the object."""
    if not said:
        return lambda obj: None
    if "cel" in said:
        raise StageError("expressions in CEL are not understood; use jq")
    ask = query((said.get("jq") or {}).get("expression") or said["expressionFrom"])
    return lambda obj: next(iter(ask(obj) or ()), None)


def _weight(spec: Object) -> Weight:
    constant, of = int(spec.get("weight") or 0), _from(spec.get("weightFrom"))

    def weight(obj: Object) -> int | None:
        said = of(obj)
        if said is None:
            return constant
        try:
            return int(said)
        except ValueError:
            return None

    return weight


def _lasting(delay: Object, name: str) -> Lasting:
    constant, of = delay.get(f"{name}Milliseconds"), _from(delay.get(f"{name}From"))

    def lasting(obj: Object, now: datetime) -> timedelta | None:
        said = of(obj)
        found = _span(said, now) if isinstance(said, str) else None
        if found is None and constant is not None:
            return timedelta(milliseconds=constant)
        return found

    return lasting


def _span(said: str, now: datetime) -> timedelta | None:
    """Up to a time, or a duration; what is neither says nothing."""
    try:
        return max(parse_time(said) - now, timedelta())
    except ValueError:
        pass
    try:
        return go_duration(said)
    except ConfigError:
        return None


Act = Callable[[Object, Scene], Sequence[Action]]


def _acts(resource: Resource, said: Object) -> Act:
    """In KWOK's order: the Event, finalizers, what is patched, the deletion."""
    acts: list[Act] = []
    if event := said.get("event"):
        acts.append(partial(_tell, event))
    if finalizers := said.get("finalizers"):
        acts.append(partial(_finalize, resource, finalizers))
    if text := said.get("statusTemplate"):
        acts.append(_patches(resource, {"subresource": "status", "root": "status", "template": text}))
    acts += [_patches(resource, patch) for patch in said.get("patches") or ()]
    if said.get("delete"):
        acts.append(partial(_delete, resource))
    return lambda obj, scene: [action for act in acts for action in act(obj, scene)]


def _tell(event: Object, obj: Object, scene: Scene) -> Sequence[Action]:
    return [Record(obj, event.get("type") or "Normal", event.get("reason") or "", event.get("message") or "")]


def _finalize(resource: Resource, said: Object, obj: Object, scene: Scene) -> Sequence[Action]:
    there = View(obj).finalizers
    removed = {each["value"] for each in said.get("remove") or ()}
    wanted = [] if said.get("empty") else [each for each in there if each not in removed]
    wanted += [each["value"] for each in said.get("add") or () if each["value"] not in wanted]
    if wanted == there:
        return []
    return [Patch(resource, key_of(obj), {"metadata": {"uid": View(obj).uid, "finalizers": wanted or None}})]


def _patches(resource: Resource, said: Object) -> Act:
    from machinery.api.yaml_body import load

    fill, root = template((said.get("template") or "").strip()), said.get("root") or ""
    kind = said.get("type") or "merge"
    if kind not in ("merge", "strategic"):
        raise StageError(f"patches of type {kind!r} are not understood, only merge and strategic")

    def act(obj: Object, scene: Scene) -> Sequence[Action]:
        filled, _ = load(fill(obj, of_scene(obj, scene)))
        patch = {root: filled} if root else filled or {}
        metadata = {**(patch.get("metadata") or {}), "uid": View(obj).uid}
        patch = {**patch, "metadata": metadata}
        where = said.get("subresource") or ""
        return [Patch(resource, key_of(obj), patch, where, is_strategic=kind == "strategic")]

    return act


def _delete(resource: Resource, obj: Object, scene: Scene) -> Sequence[Action]:
    return [Delete(resource, key_of(obj), uid=View(obj).uid, grace_period_seconds=0)]
