"""Runs what is not done of a graph on one Ray cluster, as many tasks at once as it holds.

Ray places, queues, restarts and scales; ``offers.py`` decides which task is offered when and what becomes of those that
fail; here the two are brought together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from posebed import provenance
from posebed.catalog import Catalog
from posebed.jobs.actors import Actor, Actors, ready
from posebed.jobs.autoscaling import MOST, Demand, expected_machines
from posebed.jobs.cluster import connect
from posebed.jobs.estimate import Estimates
from posebed.jobs.failures import reason
from posebed.jobs.graph import Graph, Task
from posebed.jobs.machines import Machines, here
from posebed.jobs.nodes_fit import check_nodes
from posebed.jobs.offers import RESTARTS, Offer, Offers
from posebed.jobs.outcomes import add_to_log, log_file, write_failure, write_record
from posebed.jobs.progress import Progress, Publisher, Reading
from posebed.jobs.requests import Stops, note_running, noted_interrupts
from posebed.jobs.reservations import free_ownerless
from posebed.jobs.room import Room, Share, together
from posebed.jobs.shelf import Shelf
from posebed.jobs.view import View
from posebed.jobs.worker import Done, Request
from posebed.jobs.workplace import SharedProject, Workplace
from posebed.params import Params

import ray  # isort: skip  # after cluster, which sets the variables that Ray reads
from ray.exceptions import OutOfMemoryError, RayActorError, RayError  # isort: skip

POLL_SECONDS = 0.2
IMPORTS = ("torch", "ray.train.torch", "posebed.training.zero", "posebed.training.loop", "posebed.inference.predict")
"""What a worker imports before its first task comes."""


OWN_LEAVES = (
    "the machine of this command will be taken away, and the command ends: what was done is kept, "
    "and the same command on another machine goes on"
)


@dataclass
class Under:
    """A task under way."""

    task: Task
    need: Room
    places: Sequence[Room]
    """What each of its workers takes."""
    ref: ray.ObjectRef[Done]
    actor: Actor
    keeps: bool
    """Whether its actor is given further tasks."""
    leaving: bool = False
    """Whether it was told that its machine will be taken away."""
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Coming:
    """A task that was done, and whose outcome is on its way into the project."""

    task: Task
    done: Done
    fetch: Future[None]


@dataclass(frozen=True)
class Plan:
    """What a command is to do."""

    graph: Graph
    todo: Collection[str]
    params: Params
    catalog: Catalog
    perform: Callable[[Request], None]
    """Does one task, in the worker's process; raises where it fails."""
    packages: Sequence[str]
    """Import packages that the workers of a foreign cluster are sent."""
    done: Callable[[Task], None] = lambda task: None
    """Called on this process for every task that was done."""
    shelf: Shelf | None = None
    """Filled with what the tasks read, where the cluster's machines do not have the project's folder."""
    imports: tuple[str, ...] = IMPORTS
    """Modules that a worker imports before its first task comes."""


class Schedule:
    """One command's tasks, from the first to the last."""

    def __init__(self, plan: Plan, estimates: Estimates, view: View) -> None:
        self._plan, self._view = plan, view
        self._tasks, self._limits = plan.graph.tasks, plan.params.limits
        rank = estimates.remaining(plan.graph, plan.todo)
        self._under: dict[str, Under] = {}
        self._coming: list[Coming] = []
        self._shelf, self._software = plan.shelf, provenance.software()
        self._actors = Actors(plan.imports, in_project=self._shelf is None)
        # Weights are fetched beside everything else, and by few at a time, since all come to this machine.
        self._fetching = ThreadPoolExecutor(4)
        self._noted: list[str] = []
        self._demand = Demand()
        self._missed: Offer | None = None
        self._began = time.monotonic()
        offers = self._offers = Offers(plan.graph, plan.todo, plan.params.searches, rank)
        self.failed, self.skipped, self.stopped = offers.failed, offers.skipped, offers.stopped

    def run(self) -> None:
        """Do all tasks; what fails is noted, what depends on it is skipped. An interrupt stops all.

        Raises:
            ValueError: the cluster does not start, a machine has other versions of packages, or it is said wrongly
                which machines it may come to have.
        """
        self._refuse()
        if not self._offers.waiting:
            return
        self._offers.expect(expected_machines())
        connect(self._plan.packages)
        for line in check_nodes():
            self._view.say(line)
        # Any: Ray has no types for an actor's methods.
        self._progress: Any = ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=here())(Progress).remote()
        try:
            with noted_interrupts() as interrupted:
                self._look_until_done(interrupted)
        except KeyboardInterrupt:
            self._stop_everything()
        finally:
            for under in self._under.values():
                under.actor.end()
            self._actors.end_idle()
            for coming in self._coming:
                coming.fetch.cancel()
            self._fetching.shutdown()
            self._demand.ask([])
            note_running([])

    def _look_until_done(self, interrupted: Callable[[], bool]) -> None:
        while self._offers.waiting or self._under or self._coming:
            self._offers.skip_hopeless()
            self._machines = Machines()
            free_ownerless()
            self._leave()
            self._offer()
            self._note()
            self._collect()
            self._obey()
            if self._shelf:
                self._shelf.renew_when_due(self._fetching)
            if interrupted():
                self._stop_everything()
            self._show()
        self._show()

    # --- offering

    def _offer(self) -> None:
        """Start what is ready and fits, in the order of ``Offers.next``."""
        free = self._room()
        self._offers.expect(self._machines.rooms)
        while offer := self._offers.next(self._machines.staying, free):
            if offer.too_large:
                self._fail(offer.task, self._too_large(offer))
            else:
                self._start(offer, free)
                free -= offer.need
        self._ask()
        missing = self._offers.missing
        if missing and (self._missed is None or missing.need != self._missed.need):
            self._view.say(self._waits(missing))
        self._missed = missing

    def _start(self, offer: Offer, free: Room) -> None:
        task = offer.task
        self._offers.start(task.name)
        task.record.unlink(missing_ok=True)
        own_process = task.kind == "search" or task.workers > 1
        find = self._actors.launcher if own_process else self._actors.warm
        actor = find(offer.need, free, len(self._machines.staying) > 1)
        request = Request(
            task=task,
            params=self._plan.params,
            catalog=self._plan.catalog,
            workplace=self._workplace(task),
            publisher=Publisher(task.name, self._progress),
            software=self._software,
            share=Share(cpus=int(offer.share.cpus), accelerator=offer.share.gpus > 0),
            at_once=offer.at_once,
            workers=offer.workers,
        )
        self._progress.start.remote(task.name)
        ref = actor.handle.do.remote(self._plan.perform, request, str(log_file(task)))
        self._under[task.name] = Under(
            task=task, need=offer.need, places=offer.places, ref=ref, actor=actor, keeps=not own_process
        )

    def _workplace(self, task: Task) -> Workplace:
        return self._shelf.workplace(task) if self._shelf else SharedProject(Path.cwd())

    def _ask(self) -> None:
        """Ask a cluster that grows by itself for what is under way and, if nothing stops it, for what is ready."""
        under = [place for one in self._under.values() for place in one.places]
        ready = [] if self._machines.own_leaves else self._offers.places(MOST)
        self._demand.ask([*under, *ready] if ready else [])

    def _room(self) -> Room:
        taken = [under.need for under in self._under.values() if under.actor.node not in self._machines.leaving]
        return together(self._machines.staying) - together(taken)

    def _too_large(self, offer: Offer) -> str:
        holds = "" if offer.count == 1 else f", of which it holds {offer.held}"
        most = together(self._offers.most)
        return f"must fit into the cluster, which has at most {most}, but needs {_wanted(offer)}{holds}"

    def _waits(self, offer: Offer) -> str:
        have = together(self._machines.staying)
        return f"{offer.task.name}: waits for machines; it needs {_wanted(offer)}, and those that are there have {have}"

    def _show(self) -> None:
        try:
            told = cast("Reading", ray.get(self._progress.read.remote()))
        except RayError:
            return  # its machine was lost
        for name, amount in told.kept.items():
            self._offers.keep(name, amount)
        self._view.update(told.ticks, told.news, self._running(), len(self._offers.waiting))

    def _running(self) -> list[str]:
        return [*self._under, *(coming.task.name for coming in self._coming)]

    def _note(self) -> None:
        if self._noted != (running := self._running()):
            note_running(running)
            self._noted = running

    # --- machines that will be taken away

    def _leave(self) -> None:
        """Give up idle actors on machines that will be taken away, and tell the tasks there: a training keeps a
        checkpoint and ends, to go on elsewhere; all others go on until they are done or lost. Where it is this
        command's own machine, nothing else is started."""
        if self._machines.own_leaves and not self._under:
            self._view.say(OWN_LEAVES)
            self._stop_everything()
        busy = [one.actor for one in self._under.values()]
        self._actors.locate(busy)
        self._actors.end_idle(self._machines.leaving)
        self._actors.give_way(busy, self._room())
        for one in self._under.values():
            if one.actor.node not in self._machines.leaving:
                continue
            self._progress.leave.remote(one.task.name)  # each time, since its actor may have lost its own machine
            if not one.leaving:
                one.leaving = True
                self._view.say(f"{one.task.name}: its machine will be taken away")

    # --- what becomes of tasks

    def _collect(self) -> None:
        refs = {under.ref: under for under in self._under.values()}
        for ref in ready([*refs], POLL_SECONDS) if refs else ():
            under = refs[ref]
            del self._under[under.task.name]
            try:
                done = ray.get(ref)
            except RayError as error:
                self._broke(under, error)
            else:
                self._ended(under, done)
        for coming in [coming for coming in self._coming if coming.fetch.done()]:
            self._coming.remove(coming)
            self._came(coming)
        if not refs:
            time.sleep(POLL_SECONDS)

    def _broke(self, under: Under, error: RayError) -> None:
        self._view.worked(time.monotonic() - under.since)
        under.actor.end()  # a lost one may only be out of reach
        why = " ".join(str(error).split())
        if isinstance(error, OutOfMemoryError):
            self._fail(under.task, f"ran out of memory: {why[:300]}")
        elif isinstance(error, RayActorError):
            self._lost(under, why[-200:])
        else:
            self._fail(under.task, f"{type(error).__name__}: {why[:300]}")

    def _ended(self, under: Under, done: Done) -> None:
        """A process has ended its task and is free; what it wrote in a folder of its own is brought home."""
        self._view.worked(done.seconds)
        task = under.task
        if under.keeps:
            self._actors.give_back(under.actor)
        else:
            under.actor.end()
        if done.log:
            add_to_log(task, done.log)
        if done.failed:
            self._fail(task, done.failed)
        elif done.left:
            self._view.say(f"{task.name}: has kept a checkpoint and goes on elsewhere")
            self._offers.wait_again(task.name)
        elif self._shelf and under.keeps:
            fetch = self._fetching.submit(self._shelf.bring_home, task, done.files)
            self._coming.append(Coming(task, done, fetch))
        else:
            self._finish(task, done)

    def _came(self, coming: Coming) -> None:
        try:
            coming.fetch.result()
        except (OSError, ValueError) as error:
            self._fail(coming.task, reason(error))
        else:
            self._finish(coming.task, coming.done)

    def _finish(self, task: Task, done: Done) -> None:
        """The task's outcome lies in the project."""
        if self._shelf:
            self._shelf.add(task, done.files)
        write_record(task, done.seconds)
        if task.kind == "train" and task.job:
            # Not before: a machine or command that is lost meanwhile would cost the whole training. What stays when
            # this fails is left to `posebed gc`.
            self._fetching.submit(self._workplace(task).forget, task.job)
        self._offers.end(task.name)
        self._view.end(task, done.seconds)
        self._plan.done(task)

    def _lost(self, under: Under, how: str) -> None:
        """The process of a task has ended: it goes on from its checkpoint, unless that has happened too often in a row.
        Idle actors may have been on the same machine, and would cost the next tasks a start each."""
        task = under.task
        self._show()  # it may have kept something just before
        self._actors.end_idle()
        if self._offers.lose(task.name, announced=under.leaving):
            self._view.say(f"{task.name}: lost its process and starts again")
        else:
            self._fail(task, f"lost its process {RESTARTS + 1} times without getting any further, at last with: {how}")

    def _fail(self, task: Task, why: str) -> None:
        self._offers.fail(task.name, why)
        write_failure(task, why)
        self._view.fail(task, why)

    def _refuse(self) -> None:
        for task in (self._tasks[name] for name in sorted(self._offers.waiting)):
            if task.refused:
                self._fail(task, task.refused)
        self._offers.skip_hopeless()

    def _obey(self) -> None:
        """Stop what users want stopped and what is over its limit."""
        stops = Stops()
        for under in [*self._under.values()]:
            if stops.want(under.task):
                self._stop(under)
            elif _over(self._limits.run_hours, under.since):
                self._end(under)
                self._fail(
                    under.task, f"must end within limits.run_hours, which is {self._limits.run_hours:g}, but did not"
                )
        if stops.everything or _over(self._limits.total_hours, self._began):
            self._stop_everything()
        wanted = [name for name in self._offers.waiting if stops.want(self._tasks[name])] if stops.any else []
        for name in wanted:
            self._offers.stop(name)

    def _stop_everything(self) -> None:
        for under in [*self._under.values()]:
            self._stop(under)
        for name in [*self._offers.waiting]:
            self._offers.stop(name)

    def _stop(self, under: Under) -> None:
        self._end(under)
        self._offers.stop(under.task.name)
        self._view.say(f"{under.task.name}: stopped")

    def _end(self, under: Under) -> None:
        """End a task's process; its checkpoints stay."""
        self._view.worked(time.monotonic() - under.since)
        under.actor.end()
        del self._under[under.task.name]


def _wanted(offer: Offer) -> str:
    return f"{offer.share} {'on one machine' if offer.count == 1 else f'for each of {offer.count} workers'}"


def _over(hours: float | None, since: float) -> bool:
    return hours is not None and time.monotonic() - since > hours * 3600
