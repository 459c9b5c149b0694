"""`minikube-py` and `python -m minikube_py`: parses, hands over to one module of `cli`, turns errors into one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    from minikube_py.cli.parser import parse

    arguments = parse(sys.argv[1:] if argv is None else argv)
    # Imported only now: each command pays for what it needs.
    from minikube_py.api import ApiError
    from minikube_py.config import ConfigError
    from minikube_py.instance import InstanceError
    from minikube_py.kubeconfig import KubeconfigError

    try:
        status: int = arguments.command(arguments)
        return status
    except (ConfigError, InstanceError, ApiError, KubeconfigError, PermissionError) as error:
        print(f"minikube-py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141


if __name__ == "__main__":
    sys.exit(main())
