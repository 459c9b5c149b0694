"""Values in the form of upstream's internal types, as its errors show them: Go's field names, in Go's order, each
written even if it's unset. Only those of pods, volumes and flow control are here; nothing but errors needs them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from machinery.api.resource import Object


class _Field(NamedTuple):
    name: str
    key: str
    """The field's name on the wire."""
    kind: str
    """`` text, `#` number, `?` bool, `$` quantity, `*` pointer, `[]` list, `{}` map, `:` struct by value, `+` metadata,
    which Go writes into what embeds it."""
    struct: str
    """The struct in it; empty where the value is shown as it is on the wire."""


_STRUCTS = """
PodSpec: Volumes[]Volume InitContainers[]Container Containers[]Container EphemeralContainers[]EphemeralContainer
  RestartPolicy TerminationGracePeriodSeconds* ActiveDeadlineSeconds* DNSPolicy NodeSelector{} ServiceAccountName
  AutomountServiceAccountToken* NodeName SecurityContext*PodSecurityContext ImagePullSecrets[]LocalObjectReference
  Hostname Subdomain SetHostnameAsFQDN* Affinity*Affinity SchedulerName Tolerations[]Toleration HostAliases[]HostAlias
  PriorityClassName Priority* PreemptionPolicy* DNSConfig*PodDNSConfig ReadinessGates[]PodReadinessGate
  RuntimeClassName* Overhead{} EnableServiceLinks* TopologySpreadConstraints[]TopologySpreadConstraint OS*PodOS
  SchedulingGates[]PodSchedulingGate ResourceClaims[]PodResourceClaim Resources*ResourceRequirements
  HostnameOverride* SchedulingGroup*
Container: Name Image Command[] Args[] WorkingDir Ports[]ContainerPort EnvFrom[]EnvFromSource Env[]EnvVar
  Resources:ResourceRequirements ResizePolicy[]ContainerResizePolicy RestartPolicy*
  RestartPolicyRules[]ContainerRestartRule VolumeMounts[]VolumeMount VolumeDevices[]VolumeDevice LivenessProbe*Probe
  ReadinessProbe*Probe StartupProbe*Probe Lifecycle*Lifecycle TerminationMessagePath TerminationMessagePolicy
  ImagePullPolicy SecurityContext*SecurityContext Stdin? StdinOnce? TTY?
ContainerPort: Name HostPort# ContainerPort# Protocol HostIP
EnvFromSource: Prefix ConfigMapRef*EnvSource SecretRef*EnvSource
EnvSource: Name Optional*
EnvVar: Name Value ValueFrom*EnvVarSource
EnvVarSource: FieldRef*ObjectFieldSelector ResourceFieldRef*ResourceFieldSelector ConfigMapKeyRef*KeySelector
  SecretKeyRef*KeySelector FileKeyRef*FileKeySelector
ObjectFieldSelector: APIVersion FieldPath
ResourceFieldSelector: ContainerName Resource Divisor$
KeySelector: Name Key Optional*
FileKeySelector: VolumeName Path Key Optional*
ResourceRequirements: Limits{} Requests{} Claims[]ResourceClaim
ResourceClaim: Name Request
ContainerResizePolicy: ResourceName RestartPolicy
ContainerRestartRule: Action ExitCodes*ContainerRestartRuleOnExitCodes
ContainerRestartRuleOnExitCodes: Operator Values[]
VolumeMount: Name ReadOnly? RecursiveReadOnly* MountPath SubPath MountPropagation* SubPathExpr
VolumeDevice: Name DevicePath
Probe: Exec*ExecAction HTTPGet*HTTPGetAction TCPSocket*TCPSocketAction GRPC*GRPCAction InitialDelaySeconds#
  TimeoutSeconds# PeriodSeconds# SuccessThreshold# FailureThreshold# TerminationGracePeriodSeconds*
Lifecycle: PostStart*LifecycleHandler PreStop*LifecycleHandler StopSignal*
LifecycleHandler: Exec*ExecAction HTTPGet*HTTPGetAction TCPSocket*TCPSocketAction Sleep*SleepAction
ExecAction: Command[]
HTTPGetAction: Path Port# Host Scheme HTTPHeaders[]HTTPHeader
HTTPHeader: Name Value
TCPSocketAction: Port# Host
GRPCAction: Port# Service*
SleepAction: Seconds#
SecurityContext: Capabilities*Capabilities Privileged* SELinuxOptions*SELinuxOptions
  WindowsOptions*WindowsSecurityContextOptions RunAsUser* RunAsGroup* RunAsNonRoot* ReadOnlyRootFilesystem*
  AllowPrivilegeEscalation* ProcMount* SeccompProfile*Profile AppArmorProfile*Profile
Capabilities: Add[] Drop[]
SELinuxOptions: User Role Type Level
WindowsSecurityContextOptions: GMSACredentialSpecName* GMSACredentialSpec* RunAsUserName* HostProcess*
Profile: Type LocalhostProfile*
PodSecurityContext: HostNetwork? HostPID? HostIPC? ShareProcessNamespace* HostUsers* SELinuxOptions*SELinuxOptions
  WindowsOptions*WindowsSecurityContextOptions RunAsUser* RunAsGroup* RunAsNonRoot* SupplementalGroups[]
  SupplementalGroupsPolicy* FSGroup* FSGroupChangePolicy* Sysctls[]Sysctl SeccompProfile*Profile
  AppArmorProfile*Profile SELinuxChangePolicy*
Sysctl: Name Value
LocalObjectReference: Name
Affinity: NodeAffinity*NodeAffinity PodAffinity*PodAffinity PodAntiAffinity*PodAffinity
NodeAffinity: RequiredDuringSchedulingIgnoredDuringExecution*NodeSelector
  PreferredDuringSchedulingIgnoredDuringExecution[]PreferredSchedulingTerm
NodeSelector: NodeSelectorTerms[]NodeSelectorTerm
NodeSelectorTerm: MatchExpressions[]NodeSelectorRequirement MatchFields[]NodeSelectorRequirement
NodeSelectorRequirement: Key Operator Values[]
PreferredSchedulingTerm: Weight# Preference:NodeSelectorTerm
PodAffinity: RequiredDuringSchedulingIgnoredDuringExecution[]PodAffinityTerm
  PreferredDuringSchedulingIgnoredDuringExecution[]WeightedPodAffinityTerm
PodAffinityTerm: LabelSelector* Namespaces[] TopologyKey NamespaceSelector* MatchLabelKeys[] MismatchLabelKeys[]
WeightedPodAffinityTerm: Weight# PodAffinityTerm:PodAffinityTerm
Toleration: Key Operator Value Effect TolerationSeconds*
HostAlias: IP Hostnames[]
PodDNSConfig: Nameservers[] Searches[] Options[]PodDNSConfigOption
PodDNSConfigOption: Name Value*
PodReadinessGate: ConditionType
TopologySpreadConstraint: MaxSkew# TopologyKey WhenUnsatisfiable LabelSelector* MinDomains* NodeAffinityPolicy*
  NodeTaintsPolicy* MatchLabelKeys[]
PodOS: Name
PodSchedulingGate: Name
PodResourceClaim: Name ResourceClaimName* ResourceClaimTemplateName*
Volume: Name HostPath*HostPathVolumeSource EmptyDir*EmptyDirVolumeSource GCEPersistentDisk*Disk
  AWSElasticBlockStore*BlockStore GitRepo*GitRepo Secret*SecretVolumeSource NFS*NFSVolumeSource ISCSI*ISCSI
  Glusterfs*Glusterfs PersistentVolumeClaim*PersistentVolumeClaimVolumeSource RBD*RBD Quobyte*Quobyte FlexVolume*Flex
  Cinder*Cinder CephFS=cephfs*CephFS Flocker*Flocker DownwardAPI*DownwardAPIVolumeSource FC*FC AzureFile*AzureFile
  ConfigMap*ConfigMapVolumeSource VsphereVolume*VsphereVolume AzureDisk*AzureDisk PhotonPersistentDisk*Photon
  Projected*ProjectedVolumeSource PortworxVolume*Portworx ScaleIO*ScaleIO StorageOS=storageos*StorageOS
  CSI*CSIVolumeSource Ephemeral*EphemeralVolumeSource Image*ImageVolumeSource
Disk: PDName FSType Partition# ReadOnly?
BlockStore: VolumeID FSType Partition# ReadOnly?
GitRepo: Repository Revision Directory
ISCSI: TargetPortal IQN Lun# ISCSIInterface FSType ReadOnly? Portals[] DiscoveryCHAPAuth=chapAuthDiscovery?
  SessionCHAPAuth=chapAuthSession? SecretRef*LocalObjectReference InitiatorName*
Glusterfs: EndpointsName=endpoints Path ReadOnly?
RBD: CephMonitors=monitors[] RBDImage=image FSType RBDPool=pool RadosUser=user Keyring
  SecretRef*LocalObjectReference ReadOnly?
Quobyte: Registry Volume ReadOnly? User Group Tenant
Flex: Driver FSType SecretRef*LocalObjectReference ReadOnly? Options{}
Cinder: VolumeID FSType ReadOnly? SecretRef*LocalObjectReference
CephFS: Monitors[] Path User SecretFile SecretRef*LocalObjectReference ReadOnly?
Flocker: DatasetName DatasetUUID
FC: TargetWWNs[] Lun* FSType ReadOnly? WWIDs=wwids[]
AzureFile: SecretName ShareName ReadOnly?
VsphereVolume: VolumePath FSType StoragePolicyName StoragePolicyID
AzureDisk: DiskName DataDiskURI=diskURI CachingMode* FSType* ReadOnly* Kind*
Photon: PdID FSType
Portworx: VolumeID FSType ReadOnly?
ScaleIO: Gateway System SecretRef*LocalObjectReference SSLEnabled? ProtectionDomain StoragePool StorageMode VolumeName
  FSType ReadOnly?
StorageOS: VolumeName VolumeNamespace FSType ReadOnly? SecretRef*LocalObjectReference
HostPathVolumeSource: Path Type*
EmptyDirVolumeSource: Medium SizeLimit*
SecretVolumeSource: SecretName Items[]KeyToPath DefaultMode* Optional*
KeyToPath: Key Path Mode*
NFSVolumeSource: Server Path ReadOnly?
PersistentVolumeClaimVolumeSource: ClaimName ReadOnly?
DownwardAPIVolumeSource: Items[]DownwardAPIVolumeFile DefaultMode*
DownwardAPIVolumeFile: Path FieldRef*ObjectFieldSelector ResourceFieldRef*ResourceFieldSelector Mode*
ConfigMapVolumeSource: Name Items[]KeyToPath DefaultMode* Optional*
ProjectedVolumeSource: Sources[]VolumeProjection DefaultMode*
VolumeProjection: Secret*KeyProjection DownwardAPI*DownwardAPIProjection ConfigMap*KeyProjection
  ServiceAccountToken*ServiceAccountTokenProjection ClusterTrustBundle* PodCertificate*
KeyProjection: Name Items[]KeyToPath Optional*
DownwardAPIProjection: Items[]DownwardAPIVolumeFile
ServiceAccountTokenProjection: Audience ExpirationSeconds# Path
CSIVolumeSource: Driver ReadOnly* FSType* VolumeAttributes{} NodePublishSecretRef*LocalObjectReference
EphemeralVolumeSource: VolumeClaimTemplate*PersistentVolumeClaimTemplate
PersistentVolumeClaimTemplate: ObjectMeta=metadata+ Spec:PersistentVolumeClaimSpec
PersistentVolumeClaimSpec: AccessModes[] Selector* Resources:VolumeResourceRequirements VolumeName StorageClassName*
  VolumeMode* DataSource*TypedLocalObjectReference DataSourceRef*TypedObjectReference VolumeAttributesClassName*
VolumeResourceRequirements: Limits{} Requests{}
TypedLocalObjectReference: APIGroup* Kind Name
TypedObjectReference: APIGroup* Kind Name Namespace*
ImageVolumeSource: Reference PullPolicy
PersistentVolumeSource: GCEPersistentDisk*Disk AWSElasticBlockStore*BlockStore HostPath*HostPathVolumeSource
  Glusterfs*GlusterfsOfAll NFS*NFSVolumeSource RBD*RBDOfAll Quobyte*Quobyte ISCSI*ISCSIOfAll FlexVolume*FlexOfAll
  Cinder*CinderOfAll CephFS=cephfs*CephFSOfAll FC*FC Flocker*Flocker AzureFile*AzureFileOfAll
  VsphereVolume*VsphereVolume AzureDisk*AzureDisk PhotonPersistentDisk*Photon PortworxVolume*Portworx
  ScaleIO*ScaleIOOfAll Local*LocalVolumeSource StorageOS=storageos*StorageOSOfAll CSI*CSIPersistentVolumeSource
GlusterfsOfAll: EndpointsName=endpoints Path ReadOnly? EndpointsNamespace*
RBDOfAll: CephMonitors=monitors[] RBDImage=image FSType RBDPool=pool RadosUser=user Keyring SecretRef*SecretReference
  ReadOnly?
ISCSIOfAll: TargetPortal IQN Lun# ISCSIInterface FSType ReadOnly? Portals[] DiscoveryCHAPAuth=chapAuthDiscovery?
  SessionCHAPAuth=chapAuthSession? SecretRef*SecretReference InitiatorName*
FlexOfAll: Driver FSType SecretRef*SecretReference ReadOnly? Options{}
CinderOfAll: VolumeID FSType ReadOnly? SecretRef*SecretReference
CephFSOfAll: Monitors[] Path User SecretFile SecretRef*SecretReference ReadOnly?
AzureFileOfAll: SecretName ShareName ReadOnly? SecretNamespace*
ScaleIOOfAll: Gateway System SecretRef*SecretReference SSLEnabled? ProtectionDomain StoragePool StorageMode VolumeName
  FSType ReadOnly?
StorageOSOfAll: VolumeName VolumeNamespace FSType ReadOnly? SecretRef*ObjectReference
ObjectReference: Kind Namespace Name UID APIVersion ResourceVersion FieldPath
LocalVolumeSource: Path FSType*
CSIPersistentVolumeSource: Driver VolumeHandle ReadOnly? FSType VolumeAttributes{}
  ControllerPublishSecretRef*SecretReference NodeStageSecretRef*SecretReference NodePublishSecretRef*SecretReference
  ControllerExpandSecretRef*SecretReference NodeExpandSecretRef*SecretReference
SecretReference: Name Namespace
VolumeNodeAffinity: Required*NodeSelector
FlowSchemaSpec: PriorityLevelConfiguration:LocalObjectReference MatchingPrecedence# DistinguisherMethod*FlowMethod
  Rules[]PolicyRulesWithSubjects
FlowMethod: Type
PolicyRulesWithSubjects: Subjects[]FlowSubject ResourceRules[]ResourcePolicyRule
  NonResourceRules[]NonResourcePolicyRule
FlowSubject: Kind User*LocalObjectReference Group*LocalObjectReference ServiceAccount*NamespacedName
NamespacedName: Namespace Name
ResourcePolicyRule: Verbs[] APIGroups[] Resources[] ClusterScope? Namespaces[]
NonResourcePolicyRule: Verbs[] NonResourceURLs[]
PriorityLevelConfigurationSpec: Type Limited*LimitedLevel Exempt*ExemptLevel
LimitedLevel: NominalConcurrencyShares# LimitResponse:LimitResponse LendablePercent* BorrowingLimitPercent*
LimitResponse: Type Queuing*QueuingConfiguration
QueuingConfiguration: Queues# HandSize# QueueLengthLimit#
ExemptLevel: NominalConcurrencyShares* LendablePercent*
"""

_TOKEN = re.compile(r"([A-Za-z]+)(?:=([a-zA-Z]+))?(\*|\[\]|\{\}|[#?$:+]|)([A-Za-z]*)")
_LEADING_CAPITALS = re.compile(r"^([A-Z]+(?![a-z])|[A-Z])")
_ZEROS = {"": "", "#": 0, "?": False, "$": "0"}


@cache
def _structs() -> dict[str, tuple[_Field, ...]]:
    found = {}
    for line in _STRUCTS.replace("\n  ", " ").strip().splitlines():
        name, _, fields = line.partition(": ")
        found[name] = tuple(map(_parsed, fields.split()))
    # The same but for the two that embed or add something.
    found["EphemeralContainer"] = (*found["Container"], _parsed("TargetContainerName"))
    return found


def _parsed(token: str) -> _Field:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise ValueError(f"no field of a struct: {token}")
    name, key, kind, struct = match.groups()
    return _Field(name, key or _wire_name(name), kind, struct)


def _wire_name(name: str) -> str:
    """`HTTPGet` is httpGet, `TTY` tty and `NodeName` nodeName."""
    return _LEADING_CAPITALS.sub(lambda match: match[0].lower(), name, count=1)


def internal(struct: str, value: Object) -> Object:
    """The value of that struct as upstream's errors show it."""
    found: Object = {}
    for field in _structs()[struct]:
        if field.kind == "+":
            told = value.get(field.key) or {}
            found |= {key: dict(sorted(told[key].items())) for key in ("labels", "annotations") if told.get(key)}
        else:
            found[field.name] = _shown(field, value.get(field.key))
    return found


def _shown(field: _Field, value: Any) -> Any:
    match field.kind:
        case "[]":
            if value is None or not field.struct:
                return value
            return [internal(field.struct, each) for each in value]
        case "{}":
            return dict(sorted(value.items())) if value is not None else None
        case "*" | ":" if field.struct:
            return internal(field.struct, value or {}) if value is not None or field.kind == ":" else None
        case "*":
            return value
    return _ZEROS[field.kind] if value is None else value


_OF_THE_SECURITY_CONTEXT = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")


def internal_pod_spec(spec: Object) -> Object:
    """A pod's spec, whose security context has the host's namespaces in it."""
    context = {**(spec.get("securityContext") or {})}
    context |= {field: spec[field] for field in _OF_THE_SECURITY_CONTEXT if spec.get(field) is not None}
    return internal("PodSpec", {**spec, "securityContext": context})
