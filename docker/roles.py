"""What each role of compose.yaml uses of its bounds, for Prometheus: `roles.py PROJECT ROLE...`.

Belongs here: finding the container of a role, and exporting its use. Does not belong here: reading a control group
(`reco.container`), or what is too much (`docker/prometheus/rules.yml`).

A role says in compose.yaml in which slice Docker starts it; its name is all that ties a group to a role. So neither the
socket of Docker is needed, which is root on the machine, nor any right.
"""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reco.container import FOLDER, container, groups_below

PORT = 9101
LABELS = ("role", "container")
ID_LETTERS = 12


class Roles(Collector):
    """Looks at the control groups of the roles each time it is asked."""

    def __init__(self, project: str, roles: list[str], folder: Path = FOLDER) -> None:
        self._slices = {role: f"{project}-{role}.slice" for role in roles}
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Use and bounds of each container of each role; what has no bound has no sample of it."""
        seen = GaugeMetricFamily("reco_role_containers", "Containers of a role that the kernel shows.", labels=["role"])
        held = GaugeMetricFamily(
            "reco_role_memory_bytes", "Memory held, without pages of files that can go.", labels=LABELS
        )
        limit = GaugeMetricFamily("reco_role_memory_limit_bytes", "Memory it may hold.", labels=LABELS)
        used = CounterMetricFamily("reco_role_cpu_seconds", "Processor time used.", labels=LABELS)
        cores = GaugeMetricFamily("reco_role_cpu_limit_cores", "Processors' worth of time it may use.", labels=LABELS)
        for role, slice_name in self._slices.items():
            groups = {group: container(self._folder, group) for group in groups_below(slice_name, self._folder)}
            shown = {group: found for group, found in groups.items() if found is not None}
            seen.add_metric([role], len(shown))
            for group, found in shown.items():
                labels = [role, Path(group).name.removeprefix("docker-")[:ID_LETTERS]]
                held.add_metric(labels, found.memory_bytes)
                used.add_metric(labels, found.cpu_seconds)
                if found.memory_limit_bytes is not None:
                    limit.add_metric(labels, found.memory_limit_bytes)
                if found.cores is not None:
                    cores.add_metric(labels, found.cores)
        yield from (seen, held, limit, used, cores)


def main() -> None:
    """Serves `/metrics` until it is ended."""
    registry = CollectorRegistry()
    registry.register(Roles(sys.argv[1], sys.argv[2:]))
    start_http_server(PORT, registry=registry)
    threading.Event().wait()


if __name__ == "__main__":
    main()
