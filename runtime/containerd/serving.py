"""All services of containerd's API that this runtime has, as handlers for the socket that serves the CRI."""

from __future__ import annotations

import asyncio
from typing import Any

from machinery.rpc.wire import CONTAINERD
from runtime.config import RuntimeConfig
from runtime.containerd.containers import ContainersService
from runtime.containerd.content import ContentService
from runtime.containerd.events import Events
from runtime.containerd.images import ImagesService
from runtime.containerd.introspection import GRPC, IntrospectionService
from runtime.containerd.leases import LeasesService
from runtime.containerd.namespaces import NamespacesService
from runtime.containerd.snapshots import SnapshotsService
from runtime.containerd.tasks import TasksService
from runtime.containerd.version import VersionService
from runtime.cri.faults import guarded
from runtime.images.service import ImageService
from runtime.sandbox.containers import Containers
from runtime.snapshots.selection import spoken_name


def handlers(
    config: RuntimeConfig, images: ImageService, containers: Containers, events: Events, group: asyncio.TaskGroup
) -> tuple[Any, ...]:
    """One handler a service; a service or method that is not here is Unimplemented."""
    snapshotter = spoken_name(images.snapshotter)
    services: dict[str, Any] = {
        "containers": ContainersService(containers, config.bundles, snapshotter),
        "content": ContentService(images),
        "events": events,
        "images": ImagesService(images),
        "leases": LeasesService(images),
        "namespaces": NamespacesService(snapshotter),
        "snapshots": SnapshotsService(images, snapshotter),
        "tasks": TasksService(containers, events),
        "version": VersionService(),
    }
    plugins = [(GRPC, name) for name in (*services, "cri", "introspection")]
    plugins.append(("io.containerd.snapshotter.v1", snapshotter))
    services["introspection"] = IntrospectionService(config.instance, tuple(sorted(plugins)))
    return tuple(
        CONTAINERD.handler(f"containerd.services.{name}.v1.{name.title()}", guarded(service, group))
        for name, service in services.items()
    )
