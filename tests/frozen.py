"""What tests are stricter in than the program: shared objects can't be changed, stored ones must be canonical.

Whoever changes an object of the watch cache changes it for everybody; `freeze_cached_objects` makes the cache of this
test process hand out forms that raise then, and copy as plain ones.
"""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
import yaml

from apiserver.cache_entry import Entry
from apiserver.registry import strategy
from machinery.api.canonical import canonical
from machinery.api.resources import BY_KIND


class SharedObjectChangedError(TypeError):
    """A cached object was changed in place."""


def _refuse(self: object, *args: object, **kwargs: object) -> NoReturn:
    raise SharedObjectChangedError("objects of the cache are shared: copy what you change")


class FrozenDict(dict[str, Any]):
    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {key: thawed(value) for key, value in self.items()}


class FrozenList(list[Any]):
    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return [thawed(value) for value in self]


def frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return FrozenDict({key: frozen(item) for key, item in value.items()})
    if isinstance(value, list):
        return FrozenList([frozen(item) for item in value])
    return value


def thawed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: thawed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [thawed(item) for item in value]
    return value


class NotCanonicalError(AssertionError):
    """An object was about to be stored that its own canonical form differs from."""


def store_canonical_objects(patch: pytest.MonkeyPatch) -> None:
    """Refuses, with the object, to store what is not canonical: whatever prepares an object must write it so."""
    encode = strategy.encode

    def checked(obj: dict[str, Any]) -> bytes:
        row = BY_KIND.get((*_group_version(obj["apiVersion"]), obj["kind"]))
        if row is not None and canonical(obj, row) != obj:
            raise NotCanonicalError(obj)
        return encode(obj)

    patch.setattr(strategy, "encode", checked)


def _group_version(api_version: str) -> tuple[str, str]:
    group, _, version = api_version.rpartition("/")
    return group, version


def freeze_cached_objects(patch: pytest.MonkeyPatch) -> None:
    # The dumper knows types, not their subclasses.
    yaml.CSafeDumper.add_representer(FrozenDict, yaml.CSafeDumper.represent_dict)
    yaml.CSafeDumper.add_representer(FrozenList, yaml.CSafeDumper.represent_list)
    plain = Entry.object.fget  # type: ignore[attr-defined]
    assert plain is not None

    def obj(self: Entry) -> Any:
        found = plain(self)
        if not isinstance(found, FrozenDict):
            found = self._object = frozen(found)
        return found

    patch.setattr(Entry, "object", property(obj))
