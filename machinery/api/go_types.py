"""Go's names for the strings that have a type of their own: decoding errors name them, nothing else needs them."""

from __future__ import annotations

import re

_NAMED = """
Capabilities: add=Capability drop=Capability
Container: imagePullPolicy=PullPolicy restartPolicy=ContainerRestartPolicy
  terminationMessagePolicy=TerminationMessagePolicy
ContainerPort: protocol=Protocol
CronJobSpec: concurrencyPolicy=ConcurrencyPolicy
CSIDriverSpec: fsGroupPolicy=FSGroupPolicy volumeLifecycleModes=VolumeLifecycleMode
CustomResourceDefinitionSpec: scope=ResourceScope
DaemonSetUpdateStrategy: type=DaemonSetUpdateStrategyType
DeleteOptions: propagationPolicy=DeletionPropagation
DeploymentCondition: status=ConditionStatus type=DeploymentConditionType
DeploymentStrategy: type=DeploymentStrategyType
EmptyDirVolumeSource: medium=StorageMedium
EndpointPort: protocol=Protocol
EndpointSlice: addressType=AddressType
EphemeralContainer: imagePullPolicy=PullPolicy restartPolicy=ContainerRestartPolicy
  terminationMessagePolicy=TerminationMessagePolicy
HostPathVolumeSource: type=HostPathType
HTTPGetAction: scheme=URIScheme
HTTPIngressPath: pathType=PathType
JobSpec: completionMode=CompletionMode podReplacementPolicy=PodReplacementPolicy
LabelSelectorRequirement: operator=LabelSelectorOperator
LimitRangeItem: type=LimitType
NamespaceSpec: finalizers=FinalizerName
NamespaceStatus: phase=NamespacePhase
NetworkPolicyPort: protocol=Protocol
NetworkPolicySpec: policyTypes=PolicyType
NodeCondition: status=ConditionStatus type=NodeConditionType
NodeSelectorRequirement: operator=NodeSelectorOperator
ObjectMeta: uid=types.UID
ObjectReference: uid=types.UID
OwnerReference: uid=types.UID
PersistentVolumeClaimSpec: accessModes=PersistentVolumeAccessMode volumeMode=PersistentVolumeMode
PersistentVolumeClaimStatus: accessModes=PersistentVolumeAccessMode phase=PersistentVolumeClaimPhase
PersistentVolumeSpec: accessModes=PersistentVolumeAccessMode volumeMode=PersistentVolumeMode
  persistentVolumeReclaimPolicy=PersistentVolumeReclaimPolicy
PersistentVolumeStatus: phase=PersistentVolumePhase
PodCondition: status=ConditionStatus type=PodConditionType
PodDisruptionBudgetSpec: unhealthyPodEvictionPolicy=UnhealthyPodEvictionPolicyType
PodSecurityContext: fsGroupChangePolicy=PodFSGroupChangePolicy
  supplementalGroupsPolicy=SupplementalGroupsPolicy
PodSpec: dnsPolicy=DNSPolicy preemptionPolicy=PreemptionPolicy restartPolicy=RestartPolicy
PodStatus: phase=PodPhase qosClass=PodQOSClass
Preconditions: uid=types.UID
PriorityClass: preemptionPolicy=PreemptionPolicy
ResourceQuotaSpec: scopes=ResourceQuotaScope
SeccompProfile: type=SeccompProfileType
Secret: type=SecretType
SecurityContext: procMount=ProcMountType
ServicePort: protocol=Protocol
ServiceSpec: externalTrafficPolicy=ServiceExternalTrafficPolicy
  internalTrafficPolicy=ServiceInternalTrafficPolicy ipFamilies=IPFamily ipFamilyPolicy=IPFamilyPolicy
  sessionAffinity=ServiceAffinity type=ServiceType
StatefulSetSpec: podManagementPolicy=PodManagementPolicyType
StatefulSetUpdateStrategy: type=StatefulSetUpdateStrategyType
StorageClass: reclaimPolicy=PersistentVolumeReclaimPolicy volumeBindingMode=VolumeBindingMode
Taint: effect=TaintEffect
Toleration: effect=TaintEffect operator=TolerationOperator
TopologySpreadConstraint: nodeAffinityPolicy=NodeInclusionPolicy nodeTaintsPolicy=NodeInclusionPolicy
  whenUnsatisfiable=UnsatisfiableConstraintAction
VolumeMount: mountPropagation=MountPropagationMode
"""


def string_type(struct: str, field: str) -> str:
    """The type of a field that JSON writes as a string: `v1.RestartPolicy`, or plain `string`."""
    for line in _NAMED.replace("\n  ", " ").splitlines():
        name, _, fields = line.partition(":")
        if name == struct:
            found = dict(pair.split("=") for pair in fields.split()).get(field, "")
            if found:
                return found if "." in found else f"v1.{found}"
    return "string"


def is_string_type(name: str) -> bool:
    """Whether that is the name of such a type, `v1.RestartPolicy` for one."""
    known = {found if "." in found else f"v1.{found}" for found in re.findall(r"=(\S+)", _NAMED)}
    return name in known
