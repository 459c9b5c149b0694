"""A cluster's process that obeys on its standard input at which of its side effects it is killed: `PROFILE`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from minikube_py.__main__ import main
from minikube_py.config import for_profile
from tests.fault_points import FaultPoints

if __name__ == "__main__":
    config = for_profile(sys.argv[1])
    places = {str(config.data_dir / name): name.upper() for name in ("kubelet", "runtime", "pod-logs")}
    FaultPoints({**places, str(config.run_dir): "RUN"}).obey()
    sys.exit(main(["start", "--foreground", "--profile", config.profile]))
