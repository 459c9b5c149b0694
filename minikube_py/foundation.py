"""What every component of a cluster stands on."""

from __future__ import annotations

from apiserver.server import ApiServer
from machinery.client.clock import SystemClock
from machinery.structs import Struct
from minikube_py.config import Config
from minikube_py.keys import Keys
from minikube_py.whereabouts import Machine


class Foundation(Struct, frozen=True):
    """One of each in a process; the clock is the one that catches up after a sleep."""

    config: Config
    server: ApiServer
    keys: Keys
    machine: Machine
    clock: SystemClock
