"""The command line as a table: each command's options and the module that carries it out, imported when it runs."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence

from minikube_py.config import DEFAULT_PROFILE

CLUSTER_OPTIONS = (
    ("--bind", "ADDRESS,…", "addresses of the API server beside 127.0.0.1 and one that pods reach"),
    ("--tls-san", "NAME,…", "further names and addresses in the API server's certificate"),
    ("--port", "PORT", "port of the API server (default 6443)"),
    ("--kubelet-port", "PORT", "port of the kubelet (default 10250)"),
    ("--node-name", "NAME", "name of the node (default: the host's)"),
    ("--etcd-servers", "URL,…", "keep the cluster in this etcd instead of the embedded store"),
    ("--etcd-cafile", "FILE", "certificate authority of that etcd"),
    ("--etcd-certfile", "FILE", "client certificate for it"),
    ("--etcd-keyfile", "FILE", "key of that certificate"),
    ("--etcd-prefix", "PREFIX", "prefix of all keys in it"),
    ("--container-runtime-endpoint", "URL", "CRI socket of another runtime, as unix:///run/containerd/containerd.sock"),
    ("--cni-conf-dir", "DIR", "a CNI configuration here replaces the built-in network (default /etc/cni/net.d)"),
    ("--registry-mirror", "HOST=URL,…", "ask URL first for images of HOST (a URL alone: docker.io)"),
    ("--components", "NAME,…", "run these of apiserver,controllers,scheduler,kubelet"),
    ("--pod-cidr", "RANGE,…", "addresses of pods (default 10.244.0.0/16); one of IPv4 and one of IPv6: both"),
    ("--service-cidr", "RANGE,…", "addresses of services (default 10.96.0.0/16), of the pods' families"),
    ("--feature-gates", "NAME=BOOL,…", "turn on what upstream has off: HPAScaleToZero, MaxUnavailableStatefulSet"),
    ("--ingress", "WHEN", "serve Ingresses by nginx: auto (default: once there is one), on, off"),
    ("--ingress-http-port", "PORT", "port for Ingresses by HTTP (default 80)"),
    ("--ingress-https-port", "PORT", "port for Ingresses by HTTPS (default 443)"),
    ("--scheduler-config", "FILE", "a KubeSchedulerConfiguration: profiles, plugins, weights (default upstream's)"),
    ("--image-gc-high-threshold", "PERCENT", "fill of the disk at which unused images go (default 85; 100: never)"),
    ("--image-gc-low-threshold", "PERCENT", "fill of the disk down to which they go (default 80)"),
    ("--image-maximum-gc-age", "DURATION", "unused images go after this time, as 168h (default: never)"),
)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, with `command` a function that carries them out and returns the exit status."""
    parser = argparse.ArgumentParser(prog="minikube-py", description="Kubernetes for one machine in one process.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    start = _command(commands, "start", "start the cluster and wait until its node is Ready")
    start.add_argument("--foreground", action="store_true", help="stay in the foreground and log to standard error")
    start.add_argument(
        "--wait", choices=("node", "all"), default="node", help="until the node is Ready, or all pods too"
    )
    start.add_argument("--wait-timeout", type=float, default=120, metavar="SECONDS", help="how long pods have for that")
    _cluster_options(start)
    stop = _command(commands, "stop", "end the pods by their grace, then the cluster")
    stop.add_argument("--keep-pods", action="store_true", help="leave the containers running")
    restart = _command(commands, "restart", "stop and start, leaving the containers running")
    restart.set_defaults(keep_pods=True, foreground=False)
    _cluster_options(restart)
    _command(commands, "status", "one screen: components, node, store, pods, certificates, disk")
    logs = _command(commands, "logs", "what the cluster's process logged")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    logs.add_argument("--export", metavar="DIR", help="write logs, objects and the machine's state into a folder")
    logs.add_argument("--tail", type=int, default=100, metavar="N", help="the last N lines (default 100)")
    _command(commands, "kubeconfig", "print the administrator's kubeconfig")
    apply = _command(commands, "apply", "create or update the objects of a manifest")
    apply.add_argument("-f", "--filename", required=True, help="a YAML or JSON file, - for standard input")
    apply.add_argument("-n", "--namespace", default="default")
    doctor = _command(commands, "doctor", "check this machine, with the command that mends what is wrong")
    _cluster_options(doctor)
    trace = _command(commands, "trace", "the steps of a workload from apply to Ready, with their times")
    trace.add_argument("workload", metavar="deploy/NAME", help="a Deployment")
    trace.add_argument("-n", "--namespace", default="default")
    tree = _command(commands, "tree", "what an object owns and what owns it")
    tree.add_argument("object", metavar="KIND/NAME", help="an object, as deployment/nginx-deployment")
    tree.add_argument("-n", "--namespace", default="default")
    _explaining_commands(commands)
    _image_commands(commands)
    _simulate_command(commands)
    cni = _command(commands, "cni", "print a CNI configuration for the pods of another runtime, as containerd")
    _cluster_options(cni)
    ctr = _command(commands, "ctr", "run containerd's own client, ctr, on this cluster's runtime")
    ctr.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…", help="what ctr is told: containers list")
    uninstall = _command(commands, "uninstall", "remove the cluster and all that it made on this machine")
    uninstall.add_argument("--yes", action="store_true", help="do not ask")
    return parser.parse_args(argv)


def _explaining_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explain = _command(commands, "explain-pending", "why a pod waits: node by node what refuses it and what would help")
    explain.add_argument("pod", metavar="POD", help="the pod's name")
    explain.add_argument("-n", "--namespace", default="default")
    service = _command(commands, "explain-service", "the rules behind a Service, and who drops its packets")
    service.add_argument("service", metavar="NAME", help="the Service's name")
    service.add_argument("-n", "--namespace", default="default")


def _image_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    image = _command(commands, "image", "images of your own: load, list, rm, prune")
    actions = image.add_subparsers(required=True, metavar="ACTION", dest="action")
    load = _action(actions, "load", "load images from a file, so that pods find them without a registry")
    load.add_argument("file", metavar="FILE", help="what docker save writes or an OCI layout tar; - is standard input")
    load.add_argument("--name", help="call the image so, where the archive holds one without a name")
    _action(actions, "list", "the images of the node")
    rm = _action(actions, "rm", "take names away, and images with their last name")
    rm.add_argument("names", nargs="+", metavar="IMAGE", help="a name, or an id")
    rm.add_argument("--force", action="store_true", help="also what a container runs from")
    prune = _action(actions, "prune", "remove the images that no container uses")
    prune.add_argument("--all", action="store_true", help="also those that were loaded by hand")


def _simulate_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    simulate = _command(commands, "simulate", "nodes that nobody runs, with pods that behave as stages say")
    simulate.add_argument("--nodes", type=int, metavar="N", help="have this many of them")
    simulate.add_argument("--zones", type=int, default=0, metavar="N", help="spread new ones over this many zones")
    simulate.add_argument("--cpu", default="32", metavar="QUANTITY", help="of each new node (default 32)")
    simulate.add_argument("--memory", default="256Gi", metavar="QUANTITY", help="of each new node (default 256Gi)")
    simulate.add_argument("--pods-per-node", type=int, default=110, metavar="N", help="of each new node (default 110)")
    simulate.add_argument("--untainted", action="store_true", help="let every pod come to new nodes")
    simulate.add_argument("--pods", type=int, metavar="N", help="have this many pods on them, of a Deployment")
    simulate.add_argument("--stages", metavar="FILE", help="what nodes and pods do, as KWOK's Stages (fast: built in)")
    simulate.add_argument("--delete", action="store_true", help="first take away what this command made")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    """A command's command: its options may stand before its name, too."""
    parser = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    _common_options(parser, profile=argparse.SUPPRESS, data_dir=argparse.SUPPRESS, output=argparse.SUPPRESS)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    _common_options(parser, profile=DEFAULT_PROFILE, data_dir=None, output="text")
    parser.set_defaults(command=_late(name))
    return parser


def _common_options(parser: argparse.ArgumentParser, *, profile: str, data_dir: str | None, output: str) -> None:
    parser.add_argument("--profile", default=profile, help="which cluster (default minikube-py)")
    parser.add_argument(
        "--data-dir", default=data_dir, metavar="DIR", help="where its data is (default /var/lib/minikube-py)"
    )
    parser.add_argument("--output", choices=("text", "json"), default=output)


def _cluster_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="a YAML file with these options")
    for flag, metavar, text in CLUSTER_OPTIONS:
        parser.add_argument(flag, metavar=metavar, help=text)


def _late(name: str) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        module = importlib.import_module(f"minikube_py.cli.{name.replace('-', '_')}")
        status: int = module.run(arguments)
        return status

    return run
