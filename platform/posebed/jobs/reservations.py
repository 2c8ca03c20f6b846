"""Places that Ray reserves for actors: those whose owner was lost are freed.

Ray keeps the placement group of a killed actor until the whole job ends: a search that was stopped, or a job whose
controller was killed, would keep its room from all further tasks.
"""

from __future__ import annotations

from typing import Any

import ray
from ray._private.state import state  # no public call tells whether the owner lives
from ray.core.generated import gcs_pb2
from ray.util.placement_group import PlacementGroup, remove_placement_group

# Ray has no types for these.
_STATE: Any = state
_COMPILED: Any = gcs_pb2
_TABLE = _COMPILED.PlacementGroupTableData


def free_ownerless() -> None:
    """Remove the placement groups of this job whose actor has ended."""
    job = ray.get_runtime_context().get_job_id()
    accessor = _STATE._connect_and_get_accessor()
    for entry in map(_TABLE.FromString, accessor.get_placement_group_table()):
        removed = entry.state == _TABLE.REMOVED
        if entry.creator_actor_dead and not removed and entry.creator_job_id.hex() == job:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(entry.placement_group_id)))
