"""From arguments to the `Config` of a cluster: profile, then what the last start said, then file, then flags."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from machinery.linux.durable import write_durably
from machinery.structs import replace
from minikube_py.cli.parser import CLUSTER_OPTIONS
from minikube_py.config import DEFAULT_PROFILE, Config, ConfigError, configured, for_profile
from minikube_py.preflight import with_free_ranges


def starting_config(arguments: argparse.Namespace) -> Config:
    """The configuration of a new start: earlier starts' options stand unless said again."""
    config = existing_config(arguments)
    if arguments.config:
        config = configured(config, _file(arguments.config))
    is_new_profile = not config.options_file.exists() and config.profile != DEFAULT_PROFILE
    if is_new_profile:
        config = with_free_ranges(config)
    flags = {flag.removeprefix("--"): getattr(arguments, _name(flag)) for flag, _, _ in CLUSTER_OPTIONS}
    config = configured(config, flags)
    # A network may give the machine another name: its pods are bound to the node of the first one.
    return replace(config, node_name=config.node)


def existing_config(arguments: argparse.Namespace) -> Config:
    """The configuration with which the cluster was last started, or its defaults; ConfigError where that is damaged."""
    config = configured(for_profile(arguments.profile), {"data-dir": arguments.data_dir})
    try:
        said = json.loads(config.options_file.read_text())
    except FileNotFoundError:
        return config
    except ValueError:
        said = None
    if not isinstance(said, dict):
        # Ranges and ports that nobody remembers would be chosen anew, under the pods that run.
        raise ConfigError(f"{config.options_file} is damaged: put a copy back, or remove it and give all options again")
    return configured(config, {key: value for key, value in said.items() if key not in ("profile", "data_dir")})


def remember(config: Config) -> None:
    """Writes the options down for later commands; a disk without room leaves what was written before."""
    said = {key: str(value) if key == "data_dir" else value for key, value in dataclasses.asdict(config).items()}
    text = json.dumps(said, indent=1) + "\n"
    if not config.options_file.exists() or config.options_file.read_text(errors="replace") != text:
        write_durably(config.options_file, text.encode())


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _file(path: str) -> dict[str, Any]:
    import yaml

    try:
        with open(path) as file:
            values = yaml.load(file, yaml.CSafeLoader) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"--config: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"--config: {path} holds no options")
    return values
