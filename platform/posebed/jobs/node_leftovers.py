"""What nobody needs any more on the machines of the cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from posebed.contents import Cache
from posebed.jobs.cluster import connect
from posebed.jobs.machines import living_nodes, on
from posebed.leftovers import Cleared, cache_leftovers, clear

import ray  # isort: skip  # after cluster, which sets the variables that Ray reads
from ray.exceptions import RayError  # isort: skip

CLUSTER = "leftovers of the cluster's machines"
NODE_SECONDS = 600.0
"""Within which a machine must have answered."""


def clear_cache(days: float, dry_run: bool) -> list[Cleared]:
    """Clear this machine's cache of what was not used for so many days."""
    return [*clear(cache_leftovers(Cache(), days), dry_run)]


def clear_nodes(days: float, dry_run: bool, packages: Sequence[str]) -> Iterator[Cleared]:
    """The same on every machine of the cluster at ``RAY_ADDRESS``; names begin with the machine's address.

    Args:
        packages: import packages that the cluster is sent.
    """
    try:
        connect(packages)
    except ValueError as error:
        yield Cleared("", CLUSTER, None, str(error))
        return
    known: set[str] = set()
    for address, ref in [(node.address, _asked(node.name, days, dry_run)) for node in living_nodes()]:
        try:
            told = ray.get(ref, timeout=NODE_SECONDS)
        except RayError as error:
            why = " ".join(str(error).split())[:300]
            told = [Cleared("", "leftovers of its cache", None, why or type(error).__name__)]
        for one in told:
            name = f"{address}: {one.name}"
            if name not in known:  # two nodes on one machine have one cache
                known.add(name)
                yield Cleared(one.kind, name, one.size, one.failed)


def _asked(node: str, days: float, dry_run: bool) -> ray.ObjectRef[list[Cleared]]:
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=on(node))(clear_cache).remote(days, dry_run)
