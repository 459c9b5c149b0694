"""The plugins of the default profile, in upstream's order and with its weights (the order decides what is told)."""

from __future__ import annotations

from scheduler.framework import Profile
from scheduler.plugins.node_affinity import NODE_AFFINITY
from scheduler.plugins.placement import IMAGE_LOCALITY, NODE_NAME, NODE_PORTS
from scheduler.plugins.pod_affinity import INTER_POD_AFFINITY
from scheduler.plugins.resources import BALANCED_ALLOCATION, RESOURCES_FIT
from scheduler.plugins.spread import TOPOLOGY_SPREAD
from scheduler.plugins.taints import NODE_UNSCHEDULABLE, TAINT_TOLERATION
from scheduler.plugins.volumes import VOLUME_BINDING, VOLUME_RESTRICTIONS, VOLUME_ZONE
from scheduler.preemption import DEFAULT_PREEMPTION

PLUGINS = (
    NODE_UNSCHEDULABLE,
    NODE_NAME,
    TAINT_TOLERATION,
    NODE_AFFINITY,
    NODE_PORTS,
    RESOURCES_FIT,
    VOLUME_RESTRICTIONS,
    VOLUME_BINDING,
    VOLUME_ZONE,
    TOPOLOGY_SPREAD,
    INTER_POD_AFFINITY,
    BALANCED_ALLOCATION,
    IMAGE_LOCALITY,
    DEFAULT_PREEMPTION,
)
WEIGHTS = (
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodeResourcesFit", 1),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
)
DEFAULT = Profile("default-scheduler", PLUGINS, WEIGHTS)
