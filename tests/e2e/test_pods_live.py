"""What a pod's spec asks for is what its processes find: manifests whose containers look around and say what they see.

Each file in `pods/` holds one pod with the output that it is to have in its annotation `expect`.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import Cluster

pytestmark = pytest.mark.e2e
PODS = Path(__file__).with_name("pods")
DEADLINE = 90.0


def until(what: Callable[[], Any], why: Callable[[], str]) -> Any:
    """The first true answer; fails with `why` at the deadline."""
    end, pause = time.monotonic() + DEADLINE, threading.Event()
    while not (found := what()):
        if time.monotonic() > end:
            pytest.fail(why())
        pause.wait(0.2)
    return found


class Room:
    """A namespace of its own in the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.namespace = cluster, f"live-{uuid.uuid4().hex[:6]}"

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin, check=check)

    def apply(self, *documents: Any) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))

    def pod(self, name: str, command: str, **spec: Any) -> None:
        """A pod of busybox that runs the command; `container` adds to its container."""
        container: Any = {"name": "c", "image": "busybox:latest", "imagePullPolicy": "IfNotPresent"}
        container |= {"command": ["sh", "-c", command], **spec.pop("container", {})}
        spec = {"terminationGracePeriodSeconds": 1, "containers": [container], **spec}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})

    def get(self, name: str) -> Any:
        return json.loads(self.kubectl("get", "pod", name, "-o", "json"))

    def status(self, name: str) -> Any:
        """The status of the pod's one container."""
        return (self.get(name)["status"].get("containerStatuses") or [{}])[0]

    def until_state(self, name: str, state: str, reason: str = "") -> Any:
        def found() -> Any:
            told = (self.status(name).get("state") or {}).get(state)
            return told if told is not None and reason in ("", told.get("reason")) else None

        return until(found, lambda: json.dumps(self.get(name)["status"], indent=1))

    def until_logged(self, name: str, text: str) -> str:
        def found() -> str:
            said = self.kubectl("logs", name, "-c", "c", check=False)
            return said if text in said else ""

        return str(
            until(found, lambda: self.kubectl("describe", "pod", name) + self.kubectl("logs", name, check=False))
        )

    def until_phase(self, name: str, *phases: str) -> Any:
        def found() -> Any:
            pod = self.get(name)
            return pod if pod["status"].get("phase") in phases else None

        return until(found, lambda: self.kubectl("describe", "pod", name))

    def events(self, name: str) -> list[tuple[str, str]]:
        told = json.loads(
            self.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}", "-o", "json")
        )
        return [(event["reason"], event["message"]) for event in told["items"]]


@pytest.fixture(scope="module")
def room(walked: Cluster) -> Iterator[Room]:
    found = Room(walked)
    walked.kubectl("create", "namespace", found.namespace)
    try:
        yield found
    finally:
        walked.kubectl("delete", "namespace", found.namespace, "--wait=true")


@pytest.mark.parametrize("path", sorted(PODS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_container_finds_what_its_pod_asked_for(room: Room, path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    room.apply(*documents)
    name = documents[-1]["metadata"]["name"]
    room.until_phase(name, "Succeeded", "Failed")
    expected = documents[-1]["metadata"]["annotations"]["expect"].replace("{ns}", room.namespace)
    assert room.kubectl("logs", name, "-c", "c") == expected
    assert room.get(name)["status"]["phase"] == "Succeeded"


def test_a_changed_config_map_and_secret_reach_the_files_but_not_the_sub_path(room: Room) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "changing"}, "data": {"a": "old"}}
    room.apply(config)
    mounts = [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/sub", "subPath": "a"}]
    volumes = [{"name": "v", "configMap": {"name": "changing"}}]
    command = 'until grep -q new /v/a; do usleep 100000; done; echo "file $(cat /v/a), sub $(cat /sub)"; sleep 1000'
    room.pod("changing", command, container={"volumeMounts": mounts}, volumes=volumes)
    room.until_state("changing", "running")
    room.apply({**config, "data": {"a": "new"}})
    assert room.until_logged("changing", "file") == "file new, sub old\n"


def test_how_a_container_ended_is_told(room: Room) -> None:
    room.pod("message", "echo last words > /dev/termination-log; exit 3", restartPolicy="Never")
    policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    room.pod("fallback", "echo said; exit 4", restartPolicy="Never", container=policy)
    room.pod("late", "sleep 1000", activeDeadlineSeconds=1)
    limits = {"resources": {"limits": {"memory": "16Mi"}}}
    room.pod("greedy", "tail /dev/zero", restartPolicy="Never", container=limits)
    ended = room.until_state("message", "terminated")
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "last words\n")
    assert room.until_state("fallback", "terminated")["message"] == "said\n"
    late = room.until_phase("late", "Failed")["status"]
    assert (late["reason"], late["message"]) == (
        "DeadlineExceeded",
        "Pod was active on the node longer than the specified deadline",
    )
    greedy = room.until_state("greedy", "terminated")
    assert (greedy["exitCode"], greedy["reason"]) == (137, "OOMKilled")


def test_a_root_image_may_not_run_where_root_is_refused(room: Room) -> None:
    room.pod("no-root", "id", securityContext={"runAsNonRoot": True})
    waiting = room.until_state("no-root", "waiting", "CreateContainerConfigError")
    assert waiting["message"].startswith('container has runAsNonRoot and image will run as root (pod: "no-root_')


def test_hooks_run_after_the_start_and_before_the_end(room: Room) -> None:
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started > /v/hooks"]}},
        "preStop": {"sleep": {"seconds": 1}},
    }
    mounts = [{"name": "v", "mountPath": "/v"}]
    command = "trap exit TERM; until [ -s /v/hooks ]; do usleep 10000; done; cat /v/hooks; sleep 1000 & wait"
    room.pod(
        "hooks",
        command,
        container={"lifecycle": hooks, "volumeMounts": mounts},
        volumes=[{"name": "v", "emptyDir": {}}],
        terminationGracePeriodSeconds=20,
    )
    room.until_logged("hooks", "started")
    began = time.monotonic()
    room.kubectl("delete", "pod", "hooks", "--wait=true")
    assert 1 <= time.monotonic() - began < 15


def test_probes_by_http_tcp_and_exec(room: Room) -> None:
    serve = "mkdir /www; echo ok > /www/ready; httpd -p 8080 -h /www; sleep 1000"
    ports = [{"name": "web", "containerPort": 8080}]
    probes = {
        "startupProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "web"}, "periodSeconds": 1},
        "livenessProbe": {"exec": {"command": ["test", "-e", "/www/ready"]}, "periodSeconds": 1, "failureThreshold": 1},
    }
    room.pod("probed", serve, container={"ports": ports, **probes})
    until(lambda: room.status("probed").get("ready"), lambda: room.kubectl("describe", "pod", "probed"))
    room.pod("unready", "sleep 1000", container={"readinessProbe": probes["readinessProbe"], "ports": ports})
    until(
        lambda: any("connect: connection refused" in said for reason, said in room.events("unready")),
        lambda: room.kubectl("describe", "pod", "unready"),
    )
    assert not room.status("unready")["ready"]


def test_a_readiness_gate_that_others_open_and_shut_counts_at_once(room: Room) -> None:
    def is_ready() -> str:
        told = {each["type"]: each["status"] for each in room.get("gated")["status"]["conditions"]}
        return str(told["Ready"])

    room.pod("gated", "sleep 1000", readinessGates=[{"conditionType": "example.com/in"}])
    room.until_state("gated", "running")
    for value in ("True", "False"):
        patch = {"status": {"conditions": [{"type": "example.com/in", "status": value}]}}
        room.kubectl("patch", "pod", "gated", "--subresource=status", "-p", json.dumps(patch))
        until(lambda value=value: is_ready() == value, lambda: room.kubectl("describe", "pod", "gated"))  # type: ignore[misc]


def test_a_resize_reaches_the_container_s_cgroup(room: Room) -> None:
    resources = {"requests": {"memory": "16Mi", "cpu": "10m"}, "limits": {"memory": "32Mi", "cpu": "100m"}}
    room.pod("resized", "sleep 1000", container={"resources": resources})
    room.until_state("resized", "running")
    wanted = {**resources, "limits": {"memory": "48Mi", "cpu": "200m"}}
    patch = {"spec": {"containers": [{"name": "c", "resources": wanted}]}}
    room.kubectl("patch", "pod", "resized", "--subresource=resize", "-p", json.dumps(patch))
    until(
        lambda: room.status("resized")["resources"]["limits"] == {"memory": "48Mi", "cpu": "200m"},
        lambda: room.kubectl("describe", "pod", "resized"),
    )
    assert room.status("resized")["restartCount"] == 0
    uid = room.get("resized")["metadata"]["uid"]
    limits = {path.read_text().strip() for path in _cgroup_files(uid)}
    assert str(48 << 20) in limits


def _cgroup_files(uid: str) -> list[Path]:
    return [
        path
        for name in ("memory.limit_in_bytes", "memory.max")
        for path in Path("/sys/fs/cgroup").glob(f"**/pod{uid}/*/{name}")
    ]


def test_a_log_is_rotated_and_stays_readable(room: Room) -> None:
    command = "yes 'a line of some length, to fill the file quickly' | head -n 150000; echo the end; sleep 1000"
    room.pod("talks", command)
    assert room.until_logged("talks", "the end").endswith("the end\n")
    uid = room.get("talks")["metadata"]["uid"]
    logs = room.cluster.data_dir / "pod-logs" / f"{room.namespace}_talks_{uid}" / "c"
    until(lambda: list(logs.glob("0.log.*")), lambda: str(list(logs.iterdir())))
    # Between the rename and the runtime's new file there is none of that name.
    until((logs / "0.log").exists, lambda: str(list(logs.iterdir())))
    assert (logs / "0.log").stat().st_size < 10 << 20


def test_a_pod_that_outgrows_its_volume_is_evicted(room: Room) -> None:
    room.pod(
        "outgrows",
        "head -c 3000000 /dev/zero > /v/file; sleep 1000",
        container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}],
    )
    status = room.until_phase("outgrows", "Failed")["status"]
    assert status["reason"] == "Evicted"
    assert status["message"] == 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '
    assert ("Evicted", status["message"]) in room.events("outgrows")


def test_a_static_pod_comes_and_goes_with_its_manifest(room: Room) -> None:
    folder = room.cluster.data_dir / "manifests"
    container = {
        "name": "c",
        "image": "busybox:latest",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "1000"],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "static", "namespace": room.namespace},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }
    name = f"static-{room.cluster.get('nodes')['items'][0]['metadata']['name']}"
    path = folder / "static.json"
    path.write_text(json.dumps(pod))
    try:
        until(lambda: name in room.kubectl("get", "pods", "-o", "name"), lambda: room.cluster.log())
        room.until_phase(name, "Running")
    finally:
        path.unlink()
    until(lambda: name not in room.kubectl("get", "pods", "-o", "name"), lambda: room.cluster.log())
