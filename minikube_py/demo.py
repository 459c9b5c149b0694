"""The first walk, as `scripts/run` shows it: a Deployment of nginx from apply to a served page, step by step.

Where the public registry can't be reached, images are built from Debian's packages, pushed to a local registry that
mirrors docker.io, and pulled from there: the pull's code path is the same.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import select
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from minikube_py import children
from minikube_py.api import Api, ApiError
from minikube_py.cli.apply import apply, manifest
from minikube_py.cli.options import starting_config
from minikube_py.cli.output import Output
from minikube_py.cli.parser import CLUSTER_OPTIONS
from minikube_py.cli.start import start_in_background
from minikube_py.cli.trace import trace
from minikube_py.config import Config, ConfigError, configured, for_profile
from minikube_py.instance import InstanceError, read_state, running_pid

EXAMPLE = Path(__file__).parent.parent / "examples/nginx-deployment.yaml"
NAME, NAMESPACE = "nginx-deployment", "default"
PATIENCE = 180.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/run", description=__doc__.partition("\n")[0])
    parser.add_argument("--etcd", action="store_true", help="keep the cluster in a real etcd (profile `etcd`)")
    parser.add_argument("--profile", help="which cluster (default minikube-py)")
    arguments = parser.parse_args()
    profile = arguments.profile or ("etcd" if arguments.etcd else for_profile("minikube-py").profile)
    nothing = {flag.removeprefix("--").replace("-", "_"): None for flag, _, _ in CLUSTER_OPTIONS}
    asked = argparse.Namespace(profile=profile, data_dir=None, config=None, **nothing)
    try:
        return walk(starting_config(asked), with_etcd=arguments.etcd)
    except (InstanceError, ApiError, ConfigError) as error:
        print(f"scripts/run: {error}", file=sys.stderr)
        return 1


def walk(config: Config, *, with_etcd: bool) -> int:
    """Starts the cluster if need be, applies the example, follows it until its page is served."""
    if with_etcd:
        config = configured(config, {"etcd-servers": children.set_up(config, children.ETCD)})
    offline = "registry" in children.ports(config) or not _public_registry_answers()
    if offline:
        say("the public registry can't be reached: images are built from Debian's packages")
        url = children.set_up(config, children.REGISTRY)
        config = configured(config, {"registry-mirror": f"docker.io={url}"})
    if running_pid(config):
        say(f"the cluster runs already (process {running_pid(config)})")
    else:
        say("starting the cluster")
        start_in_background(config, Output(as_json=False))
    if offline:
        _push_images(config, config.registry_mirror[0].partition("=")[2])
    begun = time.monotonic()
    api = Api(config)
    result = apply(api, manifest(str(EXAMPLE))[0], NAMESPACE)
    say(f"{result['object']} {result['did']}, stored in {_store(config)}")
    pod = _follow(api, begun)
    _serve(pod, begun)
    _goodbye(config)
    return 0


def say(text: str, begun: float | None = None) -> None:
    at = f"+{time.monotonic() - begun:6.2f} s " if begun is not None else " " * 10
    print(f"{at} {text}", flush=True)


def _public_registry_answers() -> bool:
    try:
        connection = http.client.HTTPSConnection(
            "registry-1.docker.io", timeout=3, context=ssl.create_default_context()
        )
        connection.request("GET", "/v2/")
        return connection.getresponse().status in (200, 401)
    except (OSError, http.client.HTTPException):
        return False


def _push_images(config: Config, url: str) -> None:
    cache = config.data_dir / "demo-images"
    marker = cache / "pushed"
    if marker.exists():
        return
    command = [sys.executable, "-m", "runtime.images.build", "--push", url, "--cache", str(cache), "nginx", "busybox"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InstanceError(f"the images could not be built: {done.stderr.strip().splitlines()[-1:]}")
    marker.touch()
    say(f"built nginx:latest and busybox:latest, pushed to {url}, which mirrors docker.io")


def _store(config: Config) -> str:
    if not config.etcd_servers:
        return f"the embedded store ({config.data_dir})"
    from apiserver.storage import etcd_operator
    from apiserver.storage.etcd_channel import EtcdAccess

    (member,) = asyncio.run(etcd_operator.status(EtcdAccess(config.etcd_servers)))[:1]
    return f"etcd {member.server}: member {member.name} ({member.member_id}), revision {member.revision}"


def _follow(api: Api, begun: float) -> dict[str, Any]:
    """Prints each step as it happens; the pod, once it is Ready."""
    said: set[str] = set()
    while time.monotonic() - begun < PATIENCE:
        steps = trace(api, NAMESPACE, NAME)
        for step in steps[1:]:
            if step.what not in said:
                said.add(step.what)
                say(step.what, begun)
        pods = api.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3Dnginx")["items"]
        ready = [pod for pod in pods if _is_ready(pod)]
        if ready and any(step.what.startswith("Ready") for step in steps):
            pod: dict[str, Any] = ready[0]
            return pod
        select.select([], [], [], 0.05)
    raise InstanceError(f"the pod was not Ready after {PATIENCE:.0f} s; kubectl describe pods shows why")


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _serve(pod: dict[str, Any], begun: float) -> None:
    """Fetches the page from the pod's address; a server may need a moment after its container runs."""
    address = pod["status"]["podIP"]
    while True:
        try:
            connection = http.client.HTTPConnection(address, 80, timeout=2)
            connection.request("GET", "/")
            response = connection.getresponse()
            page = response.read().decode(errors="replace")
            break
        except (TimeoutError, OSError, http.client.HTTPException):
            if time.monotonic() - begun > PATIENCE:
                raise InstanceError(f"http://{address}/ does not answer") from None
            select.select([], [], [], 0.02)
    title = page.partition("<title>")[2].partition("</title>")[0]
    say(f"served: http://{address}/ answers {response.status} {title!r}", begun)


def _goodbye(config: Config) -> None:
    state = read_state(config)
    if state:
        say(f"cluster {config.context}: store {state.store}")
    own = Path(sys.executable).with_name("kubectl")
    kubectl = "kubectl" if any(os.access(f"{p}/kubectl", os.X_OK) for p in os.get_exec_path()) else str(own)
    context = "" if config.is_default else f" --context {config.context}"
    flag = "" if config.is_default else f" --profile {config.profile}"
    cli = Path(sys.executable).with_name("minikube-py")
    print(f"""
next:  {kubectl}{context} get pods -o wide
       {kubectl}{context} scale deployment {NAME} --replicas 3
       {kubectl}{context} logs deployment/{NAME}
       {cli} status{flag}
       {cli} trace deploy/{NAME}{flag}
       {cli} uninstall{flag}""")


if __name__ == "__main__":
    sys.exit(main())
