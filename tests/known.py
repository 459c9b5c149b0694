"""What a component knows, in a test: a `Cache` over the objects that the test gives it, which tells of changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controllers.plan import Key
from machinery.api.resource import Object, Resource
from machinery.api.resources import PODS
from machinery.client.cache import Change


class Known:
    """Holds objects by resource, namespace and name; each has the revision, and a uid, that it got when it was put."""

    def __init__(self, *objects: tuple[Resource, Object]) -> None:
        self.revision = 0
        self.objects: dict[Key, Object] = {}
        self._handlers: list[tuple[Resource, Callable[[Change], None]]] = []
        for resource, obj in objects:
            self.put(resource, obj)

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self.objects.get(Key(namespace, name, resource))

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        return [
            obj for key, obj in self.objects.items() if key.resource == resource and namespace in ("", key.namespace)
        ]

    def owned_by(self, resource: Resource, uid: str) -> Sequence[Object]:
        return [
            obj
            for obj in self.list(resource)
            if any(owner["uid"] == uid for owner in obj["metadata"].get("ownerReferences", ()))
        ]

    def orphans(self, resource: Resource, namespace: str) -> Sequence[Object]:
        return [
            obj
            for obj in self.list(resource, namespace)
            if not any(owner.get("controller") for owner in obj["metadata"].get("ownerReferences") or ())
        ]

    def on_node(self, node: str) -> Sequence[Object]:
        return [obj for obj in self.list(PODS) if obj["spec"].get("nodeName", "") == node]

    def labelled(self, resource: Resource, namespace: str, key: str, value: str) -> Sequence[Object]:
        return [obj for obj in self.list(resource, namespace) if obj["metadata"].get("labels", {}).get(key) == value]

    def subscribe(self, resource: Resource, handler: Callable[[Change], None]) -> Callable[[], None]:
        entry = (resource, handler)
        self._handlers.append(entry)
        for obj in self.list(resource):
            handler(Change(resource, None, obj))
        return lambda: self._handlers.remove(entry)

    async def wait_for(self, revision: int) -> None:
        return

    def put(self, resource: Resource, obj: Object) -> None:
        """Keeps the object in place of the one of its name; where it has none, one is generated."""
        self.revision += 1
        metadata = dict(obj["metadata"])
        if "name" not in metadata:
            metadata["name"] = f"{metadata['generateName']}{self.revision:05}"
        metadata.setdefault("uid", f"uid-{self.revision}")
        metadata["resourceVersion"] = str(self.revision)
        key = Key(metadata.get("namespace", ""), metadata["name"], resource)
        before, after = self.objects.get(key), {**obj, "metadata": metadata}
        self.objects[key] = after
        self._say(Change(resource, before, after))

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        before = self.objects.pop(Key(namespace, name, resource))
        self.revision += 1
        self._say(Change(resource, before, None))

    def _say(self, change: Change) -> None:
        for resource, handler in list(self._handlers):
            if resource == change.resource:
                handler(change)
