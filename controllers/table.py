"""All controllers, each a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from controllers.cronjob import CRON_JOB
from controllers.daemonset import daemon_sets
from controllers.deployment import DEPLOYMENT
from controllers.disruption import DISRUPTION
from controllers.endpoints import endpoints
from controllers.endpointslice import endpoint_slices
from controllers.endpointslice_mirroring import ENDPOINT_SLICE_MIRRORING
from controllers.ephemeral_volumes import EPHEMERAL_VOLUMES
from controllers.garbage import GARBAGE
from controllers.hpa import horizontal_pod_autoscaler
from controllers.job import job
from controllers.job_orphans import JOB_ORPHANS
from controllers.namespace import NAMESPACE
from controllers.node_lifecycle import node_lifecycle
from controllers.node_ttl import NODE_TTL
from controllers.plan import Controller
from controllers.pod_garbage import pod_garbage
from controllers.replicaset import REPLICA_SET, REPLICATION_CONTROLLER
from controllers.resource_quota import RESOURCE_QUOTA
from controllers.root_ca import root_ca_publisher
from controllers.service_cidrs import SERVICE_CIDRS
from controllers.service_load_balancer import Listening, load_balancer
from controllers.serviceaccount import SERVICE_ACCOUNT
from controllers.stale_disruption import STALE_DISRUPTION
from controllers.statefulset import stateful_sets
from controllers.taint_eviction import taint_eviction
from controllers.ttl_after_finished import TTL_AFTER_FINISHED
from controllers.volume_binder import VOLUME_BINDER
from controllers.volume_expansion import VOLUME_EXPANSION
from controllers.volume_protection import CLAIM_PROTECTION, VOLUME_PROTECTION
from machinery.features import MAX_UNAVAILABLE_STATEFUL_SET
from machinery.usage import Usages


def controllers(
    root_ca: str,
    usages: Callable[[], Usages],
    features: Mapping[str, bool],
    *,
    listening: Listening,
    awake_since: Callable[[], datetime | None],
) -> tuple[Controller, ...]:
    """`root_ca` is the cluster's certificate authority (PEM), published to every namespace.

    `usages` gives what pods were last seen to use, `features` says which are on, `listening` which ports programs have,
    `awake_since` from when on this machine has not slept.
    """
    return (
        daemon_sets(),
        DEPLOYMENT,
        DISRUPTION,
        STALE_DISRUPTION,
        endpoint_slices(),
        endpoints(),
        ENDPOINT_SLICE_MIRRORING,
        GARBAGE,
        REPLICA_SET,
        REPLICATION_CONTROLLER,
        job(),
        CRON_JOB,
        JOB_ORPHANS,
        horizontal_pod_autoscaler(usages),
        TTL_AFTER_FINISHED,
        NAMESPACE,
        node_lifecycle(awake_since),
        NODE_TTL,
        taint_eviction(),
        load_balancer(listening),
        SERVICE_CIDRS,
        SERVICE_ACCOUNT,
        stateful_sets(several_unavailable=features[MAX_UNAVAILABLE_STATEFUL_SET]),
        pod_garbage(),
        VOLUME_BINDER,
        CLAIM_PROTECTION,
        VOLUME_PROTECTION,
        VOLUME_EXPANSION,
        EPHEMERAL_VOLUMES,
        RESOURCE_QUOTA,
        root_ca_publisher(root_ca),
    )
