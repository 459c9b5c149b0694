"""Objects of the watch cache that raise when they are changed: whoever changes one changes it for everybody.

`freeze_cached_objects` makes the cache of this test process hand out such forms; they copy as plain ones.
"""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from apiserver.cache_entry import Entry


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


def freeze_cached_objects(patch: pytest.MonkeyPatch) -> None:
    plain = Entry.object.fget  # type: ignore[attr-defined]
    assert plain is not None

    def obj(self: Entry) -> Any:
        found = plain(self)
        if not isinstance(found, FrozenDict):
            found = self._object = frozen(found)
        return found

    patch.setattr(Entry, "object", property(obj))
