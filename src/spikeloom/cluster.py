"""Connect to Ray, on one machine or a cluster; only its public functions are used.

On one machine Ray listens on loopback only. Ray pickles the data that it passes between processes, so use only a
cluster that you trust.
"""

import os
from types import ModuleType

from spikeloom.errors import SettingError, missing_extra

LOCAL = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # with this, Ray uses one machine only and listens on loopback
}
"""Environment variables of a Ray that is started on this machine."""

QUIET = {"RAY_AIR_NEW_OUTPUT": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Environment variables that stop Ray from printing."""


def connect(address: str | None, *, n_cpus: int | None = None) -> ModuleType:
    """Join a Ray cluster, or start one that only this machine can reach, and return the module `ray`.

    Args:
        address: Address of a cluster. Default: RAY_ADDRESS if set, else Ray is started on this machine.
        n_cpus: Number of tasks of one core at a time on this machine. Default: the number of its cores.

    Raises:
        SettingError: if Ray is not installed, there is no cluster at the address, or Ray was imported before and
            listens to other machines.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    os.environ.update(QUIET if address else QUIET | LOCAL)  # Ray reads them when it is imported
    try:
        import ray
    except ImportError as error:
        raise missing_extra("Work on a cluster needs", "ray", "ray") from error
    if address is not None:
        try:
            ray.init(address, logging_level="ERROR", log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:  # the errors of Ray if it cannot reach a cluster
            raise SettingError(
                "--address must be the address of a running Ray cluster.",
                f"At {address}: {str(error).splitlines()[0]}.",
                "Start one with `ray start --head` and use the address that it prints, or remove --address.",
            ) from error
        return ray
    ray.init(num_cpus=n_cpus, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    open_at = {node["NodeManagerAddress"] for node in ray.nodes()} - {"127.0.0.1"}
    if open_at:
        ray.shutdown()
        raise SettingError(
            "Ray on one machine must listen on loopback only.",
            f"It listens on {', '.join(sorted(open_at))}: it was imported before with other settings.",
            "Use the command `spikeloom`, which runs in a separate process.",
        )
    return ray
