"""Which network sandboxes get: the user's where there is a CNI configuration, else the built-in one."""

from __future__ import annotations

from runtime.config import RuntimeConfig
from runtime.network.bridge import BridgeNetwork
from runtime.network.cni.configuration import file_of
from runtime.network.cni.network import CniNetwork
from runtime.network.network import Network


def open_network(config: RuntimeConfig) -> Network:
    """The network, set up; what another one left of sandboxes that are attached no more is removed."""
    chosen: Network
    other: Network
    chosen, other = BridgeNetwork(config), CniNetwork(config)
    if has_own(config):
        chosen, other = other, chosen
    other.keep_only(set())
    other.tear_down()
    chosen.set_up()
    return chosen


def has_own(config: RuntimeConfig) -> bool:
    """Whether the user has a network of their own, which replaces the built-in one."""
    return config.cni is not None and file_of(config.cni) is not None


def remove_networks(config: RuntimeConfig) -> None:
    """Takes away whatever either network has made."""
    networks: tuple[Network, ...] = (BridgeNetwork(config), CniNetwork(config))
    for network in networks:
        network.keep_only(set())
        network.tear_down()
