#!/usr/bin/env python3
"""How fast pods come and go on a running cluster, and what thirty of them cost when nothing happens.

  pods.py DATA_DIR [--rounds 20] [--image nginx:latest] [--only NAME] [--json]

DATA_DIR is a cluster's (`/var/lib/minikube-py`); the image must be on the node, and serve HTTP on port 80. Times are
milliseconds but for the thirty pods', which are seconds; nothing is judged here.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import select
import ssl
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

Object = dict[str, Any]
PODS = "/api/v1/namespaces/{}/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"


class Api:
    """One kept connection to the server of a kubeconfig, and a watch on the pods of a namespace."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self._netloc = urlsplit(cluster["server"]).netloc
        self._context = ssl.create_default_context(cadata=_decoded(cluster, "certificate-authority").decode())
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(_decoded(user, "client-certificate") + _decoded(user, "client-key"))
            pair.flush()
            self._context.load_cert_chain(pair.name)
        self.namespace = namespace
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(self._netloc, context=self._context)
        connection.connect()
        return connection

    def request(self, method: str, path: str, body: Object | None = None) -> Object:
        status, found = self.ask(method, path, body)
        if status >= 300:
            raise SystemExit(f"{method} {path}: {found.get('message')}")
        return found

    def ask(self, method: str, path: str, body: Object | None = None) -> tuple[int, Object]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        text = json.dumps(body) if body is not None else None
        self._connection.request(method, path.format(self.namespace), text, {"Content-Type": kind})
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def events(self, revision: str) -> Iterator[Object]:
        """The changes of the namespace's pods after the revision."""
        connection = self._connect()
        connection.request("GET", f"{PODS.format(self.namespace)}?watch=true&resourceVersion={revision}")
        for line in connection.getresponse():
            yield json.loads(line)


def _decoded(holder: Object, key: str) -> bytes:
    if f"{key}-data" in holder:
        return base64.b64decode(holder[f"{key}-data"])
    return Path(holder[key]).read_bytes()


class Pods:
    """What the watch has told of each pod, and when."""

    def __init__(self, api: Api) -> None:
        self._news = threading.Condition()
        self.pods: dict[str, Object] = {}
        self.ready: dict[str, float] = {}
        self.gone: dict[str, float] = {}
        revision = api.request("GET", PODS)["metadata"]["resourceVersion"]
        threading.Thread(target=self._follow, args=(api.events(revision),), daemon=True).start()

    def _follow(self, events: Iterator[Object]) -> None:
        for event in events:
            now, pod = time.perf_counter(), event["object"]
            name = pod["metadata"]["name"]
            with self._news:
                self.pods[name] = pod
                if is_ready(pod):
                    self.ready.setdefault(name, now)
                if event["type"] == "DELETED":
                    self.gone[name] = now
                self._news.notify_all()

    def until(self, holds: Callable[[], bool], seconds: float = 120.0) -> None:
        with self._news:
            if not self._news.wait_for(holds, seconds):
                raise SystemExit(f"nothing more happens: {json.dumps(self.pods)[:2000]}")


def is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def pod_spec(image: str, command: list[str] | None = None) -> Object:
    container: Object = {"name": "c", "image": image, "imagePullPolicy": "IfNotPresent"}
    return {
        "terminationGracePeriodSeconds": 1,
        "containers": [{**container, **({"command": command} if command else {})}],
    }


def create(api: Api, name: str, spec: Object) -> float:
    """When it was asked for."""
    began = time.perf_counter()
    api.request("POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    return began


def serve(api: Api, pods: Pods, image: str, rounds: int) -> Object:
    """POST to Ready, POST to the first page, and from the last process's end to gone, one pod after the other."""
    ready, served, gone = [], [], []
    for number in range(rounds):
        name = f"one-{number}"
        began = create(api, name, pod_spec(image))
        served.append(until_page(pods, name) - began)
        pods.until(lambda name=name: name in pods.ready)  # type: ignore[misc]
        ready.append(pods.ready[name] - began)
        process = os.pidfd_open(main_process(pods.pods[name]))
        api.request("DELETE", f"{PODS}/{name}")
        ended = until_ended(process)
        pods.until(lambda name=name: name in pods.gone)  # type: ignore[misc]
        gone.append(pods.gone[name] - ended)
    return {"post to ready": in_ms(ready), "post to 200": in_ms(served), "end to gone": in_ms(gone)}


def until_page(pods: Pods, name: str) -> float:
    pods.until(lambda: bool(pods.pods.get(name, {}).get("status", {}).get("podIP")))
    address, end = pods.pods[name]["status"]["podIP"], time.monotonic() + 60
    while time.monotonic() < end:
        connection = http.client.HTTPConnection(address, timeout=5)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                return time.perf_counter()
        except OSError:
            select.select([], [], [], 0.002)
        finally:
            connection.close()
    raise SystemExit(f"{name} serves no page")


def main_process(pod: Object) -> int:
    """The pid of the container's first process on this machine, found by its cgroup."""
    container = pod["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
    for found in Path("/sys/fs/cgroup").glob(f"**/pod{pod['metadata']['uid']}/{container}/cgroup.procs"):
        pids = [int(line) for line in found.read_text().split()]
        if pids:
            return min(pids)
    raise SystemExit(f"no process of {pod['metadata']['name']} on this machine")


def until_ended(descriptor: int) -> float:
    select.select([descriptor], [], [], 30)
    ended = time.perf_counter()
    os.close(descriptor)
    return ended


def crowd(api: Api, pods: Pods, image: str, data_dir: Path, count: int) -> Object:
    """So many pods of one Deployment: until all are Ready, what they cost then, until all are gone."""
    labels, before = {"app": "crowd"}, set(pods.ready)
    template = {"metadata": {"labels": labels}, "spec": pod_spec(image)}
    spec = {"replicas": count, "selector": {"matchLabels": labels}, "template": template}
    began = time.perf_counter()
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "crowd"}, "spec": spec}
    api.request("POST", DEPLOYMENTS, body)
    pods.until(lambda: len(set(pods.ready) - before) >= count)
    up = time.perf_counter() - began
    share = idle_share(int((data_dir / "instance.lock").read_text()))
    gone, began = len(pods.gone), time.perf_counter()
    api.request("PATCH", f"{DEPLOYMENTS}/crowd", {"spec": {"replicas": 0}})
    pods.until(lambda: len(pods.gone) - gone >= count)
    down = time.perf_counter() - began
    return {
        f"{count} pods up, s": round(up, 2),
        f"{count} pods to zero, s": round(down, 2),
        f"idle with {count} pods, % of a core": round(100 * share, 2),
    }


def idle_share(pid: int, settle: float = 10.0, seconds: float = 30.0) -> float:
    """Which part of a core the process takes."""
    time.sleep(settle)  # noqa: TID251 - what is measured is that nothing happens
    before = cpu_seconds(pid)
    time.sleep(seconds)  # noqa: TID251
    return (cpu_seconds(pid) - before) / seconds


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def in_ms(values: list[float]) -> Object:
    ordered = sorted(1000 * value for value in values)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return {"p50": round(statistics.median(ordered)), "p95": round(p95), "min": round(ordered[0])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pods", type=int, default=30)
    parser.add_argument("--image", default="nginx:latest")
    parser.add_argument("--only", choices=("one", "crowd"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    api = Api(args.data_dir / "admin.kubeconfig", f"bench-{uuid.uuid4().hex[:6]}")
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": api.namespace}})
    while api.ask("GET", "/api/v1/namespaces/{}/serviceaccounts/default")[0] != 200:
        select.select([], [], [], 0.05)
    try:
        pods = Pods(api)
        found: Object = {}
        if args.only != "crowd":
            found |= serve(api, pods, args.image, args.rounds)
        if args.only != "one":
            found |= crowd(api, pods, args.image, args.data_dir, args.pods)
    finally:
        api.request("DELETE", f"/api/v1/namespaces/{api.namespace}")
    if args.json:
        print(json.dumps(found))
    else:
        for what, value in found.items():
            print(f"{what:34} {value}")


if __name__ == "__main__":
    main()
