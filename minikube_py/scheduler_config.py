"""Reads `--scheduler-config`, a file in upstream's own format."""

from __future__ import annotations

from pathlib import Path

from minikube_py.instance import InstanceError
from scheduler.configuration import Configuration, ConfigurationError, read


def load(path: str) -> Configuration:
    """The defaults for no file; raises InstanceError with one line on what is wrong."""
    if not path:
        return Configuration()
    import yaml

    try:
        document = yaml.safe_load(Path(path).read_text())
        return read(document if isinstance(document, dict) else {})
    except (OSError, UnicodeDecodeError) as error:
        raise InstanceError(f"--scheduler-config: {error}") from error
    except yaml.YAMLError as error:
        raise InstanceError(f"--scheduler-config {path}: no YAML: {str(error).splitlines()[0]}") from error
    except (ConfigurationError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise InstanceError(f"--scheduler-config {path}: {error}") from error
