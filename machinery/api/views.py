"""Typed views: how code that decides reads an object, so that a wire name is spelled in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar, overload

from machinery.api.resource import Object

T = TypeVar("T")


class field(Generic[T]):  # noqa: N801 - reads as a word of the class body
    """The value at a dotted path, `default` where it is absent or null."""

    __slots__ = ("_default", "_first", "_rest", "_second")

    def __init__(self, path: str, default: T) -> None:
        # Most paths have two parts, and decisions read hundreds of thousands of fields.
        self._first, *others = path.split(".")
        self._second = others[0] if others else ""
        self._rest = tuple(others[1:])
        self._default = default

    @overload
    def __get__(self, view: None, owner: type) -> field[T]: ...
    @overload
    def __get__(self, view: View, owner: type) -> T: ...
    def __get__(self, view: View | None, owner: type) -> field[T] | T:
        if view is None:
            return self
        value: Any = view.obj.get(self._first)
        if value is not None and self._second:
            value = value.get(self._second)
            for part in self._rest:
                if value is None:
                    break
                value = value.get(part)
        return self._default if value is None else value


class View:
    """An object of any kind: its metadata."""

    __slots__ = ("obj",)

    def __init__(self, obj: Object) -> None:
        self.obj = obj

    name = field("metadata.name", "")
    namespace = field("metadata.namespace", "")
    uid = field("metadata.uid", "")
    resource_version = field("metadata.resourceVersion", "")
    generation = field("metadata.generation", 0)
    # What others stored without one is older than all else, as Go's zero time is.
    created = field("metadata.creationTimestamp", "1970-01-01T00:00:00Z")
    deleted = field("metadata.deletionTimestamp", "")
    labels: field[dict[str, str]] = field("metadata.labels", {})
    annotations: field[dict[str, str]] = field("metadata.annotations", {})
    finalizers: field[list[str]] = field("metadata.finalizers", [])
    owner_references: field[list[Object]] = field("metadata.ownerReferences", [])
    conditions: field[list[Object]] = field("status.conditions", [])

    @property
    def controller(self) -> Object | None:
        """The ownerReference of the controller, if it has one."""
        return next((ref for ref in self.owner_references if ref.get("controller")), None)

    def condition(self, kind: str) -> Object | None:
        return next((c for c in self.conditions if c["type"] == kind), None)

    def is_true(self, kind: str) -> bool:
        found = self.condition(kind)
        return found is not None and found.get("status") == "True"


class Pod(View):
    node_name = field("spec.nodeName", "")
    phase = field("status.phase", "")
    containers: field[list[Object]] = field("spec.containers", [])
    init_containers: field[list[Object]] = field("spec.initContainers", [])
    container_statuses: field[list[Object]] = field("status.containerStatuses", [])
    init_container_statuses: field[list[Object]] = field("status.initContainerStatuses", [])
    deletion_grace_seconds = field("metadata.deletionGracePeriodSeconds", 0)
    resources: field[Object] = field("spec.resources", {})
    start_time = field("status.startTime", "")
    priority = field("spec.priority", 0)
    scheduler_name = field("spec.schedulerName", "default-scheduler")
    scheduling_gates: field[list[Object]] = field("spec.schedulingGates", [])
    node_selector: field[dict[str, str]] = field("spec.nodeSelector", {})
    affinity: field[Object] = field("spec.affinity", {})
    tolerations: field[list[Object]] = field("spec.tolerations", [])
    volumes: field[list[Object]] = field("spec.volumes", [])
    host_network = field("spec.hostNetwork", default=False)
    overhead: field[dict[str, str]] = field("spec.overhead", {})
    hostname = field("spec.hostname", "")
    subdomain = field("spec.subdomain", "")
    pod_ips: field[list[Object]] = field("status.podIPs", [])

    @property
    def is_finished(self) -> bool:
        return self.phase in ("Succeeded", "Failed")

    @property
    def is_active(self) -> bool:
        """Neither finished nor being deleted."""
        return not self.is_finished and not self.deleted

    @property
    def is_ready(self) -> bool:
        return self.is_true("Ready")

    @property
    def restarts(self) -> int:
        return max((status.get("restartCount", 0) for status in self.container_statuses), default=0)

    def is_available(self, min_ready_seconds: int, now: str) -> bool:
        """Ready, and for long enough; `now` is RFC 3339."""
        ready = self.condition("Ready")
        if ready is None or ready["status"] != "True":
            return False
        if not min_ready_seconds:
            return True
        from machinery.api.timestamps import parse_time

        since = parse_time(now) - parse_time(ready.get("lastTransitionTime") or now)
        return since.total_seconds() >= min_ready_seconds


class Workload(View):
    """What kinds share that keep pods of a template running."""

    replicas = field("spec.replicas", 1)
    selector: field[Object] = field("spec.selector", {})
    template: field[Object] = field("spec.template", {})
    min_ready_seconds = field("spec.minReadySeconds", 0)
    observed_generation = field("status.observedGeneration", 0)
    current_replicas = field("status.replicas", 0)
    ready_replicas = field("status.readyReplicas", 0)
    available_replicas = field("status.availableReplicas", 0)


class ReplicaSet(Workload):
    fully_labeled = field("status.fullyLabeledReplicas", 0)

    @property
    def template_hash(self) -> str:
        return self.labels.get("pod-template-hash", "")

    @property
    def revision(self) -> int:
        text = self.annotations.get("deployment.kubernetes.io/revision", "0")
        return int(text) if text.isdigit() else 0


class Deployment(Workload):
    paused = field("spec.paused", default=False)
    strategy = field("spec.strategy.type", "RollingUpdate")
    max_unavailable: field[int | str] = field("spec.strategy.rollingUpdate.maxUnavailable", "25%")
    max_surge: field[int | str] = field("spec.strategy.rollingUpdate.maxSurge", "25%")
    revision_history_limit = field("spec.revisionHistoryLimit", 10)
    progress_deadline = field("spec.progressDeadlineSeconds", 600)
    collision_count: field[int | None] = field("status.collisionCount", None)


class StatefulSet(Workload):
    service_name = field("spec.serviceName", "")
    pod_management = field("spec.podManagementPolicy", "OrderedReady")
    strategy = field("spec.updateStrategy.type", "RollingUpdate")
    partition = field("spec.updateStrategy.rollingUpdate.partition", 0)
    max_unavailable: field[int | str] = field("spec.updateStrategy.rollingUpdate.maxUnavailable", 1)
    revision_history_limit = field("spec.revisionHistoryLimit", 10)
    claim_templates: field[list[Object]] = field("spec.volumeClaimTemplates", [])
    start = field("spec.ordinals.start", 0)
    when_deleted = field("spec.persistentVolumeClaimRetentionPolicy.whenDeleted", "Retain")
    when_scaled = field("spec.persistentVolumeClaimRetentionPolicy.whenScaled", "Retain")
    current_revision = field("status.currentRevision", "")
    collision_count: field[int | None] = field("status.collisionCount", None)


class DaemonSet(Workload):
    strategy = field("spec.updateStrategy.type", "RollingUpdate")
    max_unavailable: field[int | str] = field("spec.updateStrategy.rollingUpdate.maxUnavailable", 1)
    max_surge: field[int | str] = field("spec.updateStrategy.rollingUpdate.maxSurge", 0)
    revision_history_limit = field("spec.revisionHistoryLimit", 10)
    collision_count: field[int | None] = field("status.collisionCount", None)


class ControllerRevision(View):
    revision = field("revision", 0)
    data: field[Object] = field("data", {})


class Job(View):
    parallelism = field("spec.parallelism", 1)
    completions: field[int | None] = field("spec.completions", None)
    completion_mode = field("spec.completionMode", "NonIndexed")
    backoff_limit = field("spec.backoffLimit", 6)
    backoff_limit_per_index: field[int | None] = field("spec.backoffLimitPerIndex", None)
    max_failed_indexes: field[int | None] = field("spec.maxFailedIndexes", None)
    active_deadline_seconds: field[int | None] = field("spec.activeDeadlineSeconds", None)
    ttl_seconds_after_finished: field[int | None] = field("spec.ttlSecondsAfterFinished", None)
    pod_failure_policy: field[Object | None] = field("spec.podFailurePolicy", None)
    success_policy: field[Object | None] = field("spec.successPolicy", None)
    pod_replacement_policy = field("spec.podReplacementPolicy", "TerminatingOrFailed")
    suspend = field("spec.suspend", default=False)
    managed_by = field("spec.managedBy", "")
    selector: field[Object] = field("spec.selector", {})
    template: field[Object] = field("spec.template", {})
    restart_policy = field("spec.template.spec.restartPolicy", "")
    status: field[Object] = field("status", {})
    start_time = field("status.startTime", "")
    completion_time = field("status.completionTime", "")
    succeeded = field("status.succeeded", 0)
    failed = field("status.failed", 0)
    completed_indexes = field("status.completedIndexes", "")
    failed_indexes = field("status.failedIndexes", "")
    uncounted_succeeded: field[list[str]] = field("status.uncountedTerminatedPods.succeeded", [])
    uncounted_failed: field[list[str]] = field("status.uncountedTerminatedPods.failed", [])

    @property
    def is_indexed(self) -> bool:
        return self.completion_mode == "Indexed"

    @property
    def finished(self) -> str:
        """`Complete` or `Failed`, empty while it is neither."""
        return next((kind for kind in ("Complete", "Failed") if self.is_true(kind)), "")


class CronJob(View):
    schedule = field("spec.schedule", "")
    time_zone = field("spec.timeZone", "")
    starting_deadline_seconds: field[int | None] = field("spec.startingDeadlineSeconds", None)
    concurrency_policy = field("spec.concurrencyPolicy", "Allow")
    suspend = field("spec.suspend", default=False)
    successful_jobs_history_limit = field("spec.successfulJobsHistoryLimit", 3)
    failed_jobs_history_limit = field("spec.failedJobsHistoryLimit", 1)
    job_template: field[Object] = field("spec.jobTemplate", {})
    status: field[Object] = field("status", {})
    active: field[list[Object]] = field("status.active", [])
    last_schedule_time = field("status.lastScheduleTime", "")
    last_successful_time = field("status.lastSuccessfulTime", "")


class HorizontalPodAutoscaler(View):
    target: field[Object] = field("spec.scaleTargetRef", {})
    min_replicas = field("spec.minReplicas", 1)
    max_replicas = field("spec.maxReplicas", 1)
    metrics: field[list[Object]] = field("spec.metrics", [])
    behavior: field[Object | None] = field("spec.behavior", None)
    status: field[Object] = field("status", {})
    desired_replicas = field("status.desiredReplicas", 0)
    last_scale_time = field("status.lastScaleTime", "")


class Node(View):
    unschedulable = field("spec.unschedulable", default=False)
    taints: field[list[Object]] = field("spec.taints", [])
    allocatable: field[dict[str, str]] = field("status.allocatable", {})
    images: field[list[Object]] = field("status.images", [])
    addresses: field[list[Object]] = field("status.addresses", [])
    kubelet_port = field("status.daemonEndpoints.kubeletEndpoint.Port", 0)


class Namespace(View):
    phase = field("status.phase", "Active")
    spec_finalizers: field[Sequence[str]] = field("spec.finalizers", [])


class Service(View):
    type = field("spec.type", "ClusterIP")
    selector: field[dict[str, str]] = field("spec.selector", {})
    ports: field[list[Object]] = field("spec.ports", [])
    cluster_ip = field("spec.clusterIP", "")
    ip_families: field[list[str]] = field("spec.ipFamilies", [])
    publish_not_ready = field("spec.publishNotReadyAddresses", default=False)
    traffic_distribution = field("spec.trafficDistribution", "")
    load_balancer_class = field("spec.loadBalancerClass", "")
    ingress: field[list[Object]] = field("status.loadBalancer.ingress", [])

    @property
    def is_headless(self) -> bool:
        return self.cluster_ip in ("", "None")


SERVICE_NAME = "kubernetes.io/service-name"
"""The label by which an EndpointSlice names its Service."""


class EndpointSlice(View):
    address_type = field("addressType", "")
    endpoints: field[list[Object]] = field("endpoints", [])
    ports: field[list[Object]] = field("ports", [])


class Endpoints(View):
    subsets: field[list[Object]] = field("subsets", [])
