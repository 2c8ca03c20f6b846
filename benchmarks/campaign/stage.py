"""A round while it goes on: the command is given until it has done everything, and killed is what was drawn."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from campaign.kills import Drawn, Kill, Round
from campaign.project import ended_trials
from campaign.watch import Watch
from campaign.world import NODES, World
from waiting import waited_for

REDRAWN_SECONDS = (0.5, 3.0)
"""After which a kill is tried again that would have hit no work."""
COSTS_SECONDS = 0.5
"""Between two looks at what is under way again: they look at all processes."""
LONGEST_SECONDS = 1500.0
"""Of a round."""
MOST_COMMANDS = 60


class Stage:
    """Every look is short, so that kills come when they are due.

    Attributes:
        watch: of the tasks' records.
        ended: of trials that had ended when a command was given again, when that was.
    """

    def __init__(self, made: World, played: Round, coming: list[Drawn], on_kill: Callable[[Kill], object]) -> None:
        self._world, self._played, self._coming, self._on_kill = made, played, coming, on_kill
        self.watch = Watch(made.project)
        self.ended: dict[int, str] = {}
        self._back: list[tuple[float, str]] = []
        """When what was killed is started again."""
        self._disturbed = False
        """Whether anything was killed or away since the command was given."""
        self._draw = random.Random(coming[0].which if coming else 0)

    def run(self) -> None:
        """Until the command ends with 0.

        Raises:
            RuntimeError: it does not.
        """
        self._world.give_command()
        began = self._began = time.monotonic()
        self._due = began + self._coming[0].gap if self._coming else float("inf")
        looked = began
        while not self._ended():
            if time.monotonic() - began > LONGEST_SECONDS or self._world.commands > MOST_COMMANDS:
                raise RuntimeError(
                    f"the tasks must be done within {LONGEST_SECONDS:g} s and {MOST_COMMANDS} commands, but after "
                    f"{time.monotonic() - began:.0f} s and {self._world.commands} of them, there is "
                    f"{', '.join(self.watch.at())} under way and {len(self.watch.done)} done"
                )
            self._bring_back()
            self.watch.look()
            if time.monotonic() - looked > COSTS_SECONDS:
                looked = time.monotonic()
                self._note_costs()
            if time.monotonic() >= self._due:
                self._kill()
            time.sleep(0.1)
        self._played.seconds = round(time.monotonic() - began, 1)
        self.watch.look()
        self._note_costs(over=True)
        while self._back or not self._world.nodes_whole:  # what must hold at the end is asked of whole servers
            self._bring_back()
            time.sleep(0.1)
        for server in self._world.servers.values():
            waited_for(server.answers, 300, f"the server of {server.log}")

    def _ended(self) -> bool:
        """Whether the command has ended with 0; one that has ended otherwise is given again once all is there.

        Raises:
            RuntimeError: it failed although nothing was killed or away.
        """
        driver = self._world.driver
        if driver is None:
            return False
        if driver.poll() == 0:
            return True
        if driver.returncode is None or self._back or not self._whole():
            return False
        if not self._disturbed:
            log = self._world.log_of_command(self._world.commands).read_text(errors="replace")
            raise RuntimeError(f"the command must end with 0, but nothing was killed and it said: {log[-1000:]}")
        self._disturbed = False
        self.ended |= ended_trials(self._world.project)
        self._world.give_command()
        return False

    def _whole(self) -> bool:
        return self._world.nodes_whole and all(server.answers() for server in self._world.servers.values())

    def _bring_back(self) -> None:
        for entry in [entry for entry in self._back if entry[0] <= time.monotonic()]:
            self._back.remove(entry)
            if entry[1] == "node":
                self._world.add_node()
            elif entry[1] in self._world.servers:
                self._world.servers[entry[1]].start()

    def _kill(self) -> None:
        """The next of the coming kills, if it hits work; else it is drawn again."""
        drawn, under_way = self._coming[0], self.watch.at()
        driver = self._world.driver
        alive = driver is not None and driver.poll() is None
        victim = self._strike(drawn) if alive and under_way and self._world.busy() else None
        if victim is None:
            self._due = time.monotonic() + self._draw.uniform(*REDRAWN_SECONDS)
            return
        self._disturbed = True
        now = time.monotonic()
        made = Kill(drawn.kind, round(now - self._began, 1), under_way, len(self.watch.done), victim)
        self._played.kills.append(made)
        self._on_kill(made)
        if drawn.kind != "worker":
            self._back.append((now + drawn.down, drawn.kind))
        self._coming.pop(0)
        self._due = now + self._coming[0].gap if self._coming else float("inf")

    def _strike(self, drawn: Drawn) -> str | None:
        """Kill; who it was, or None where that one is away."""
        made = self._world
        if drawn.kind == "driver":
            assert made.driver
            made.driver.kill()
            made.driver.wait()
            return "the command"
        if drawn.kind == "worker":
            busy = sorted(made.busy(), key=lambda process: process.pid)
            with suppress(psutil.Error, IndexError):
                victim = busy[int(drawn.which * len(busy))]
                title = " ".join(victim.cmdline()).strip()
                victim.kill()
                return title
            return None
        if drawn.kind == "node":
            if not made.nodes_whole:
                return None
            number = int(drawn.which * NODES)
            made.kill_node(number)
            return f"node {number + 1}"
        if any(kind == drawn.kind for _, kind in self._back):
            return None
        made.servers[drawn.kind].kill()
        return f"the server of {drawn.kind}"

    def _note_costs(self, over: bool = False) -> None:
        """Of kills whose tasks are all under way again, or done."""
        if all(kill.cost is not None for kill in self._played.kills):
            return
        driver, running = self._world.driver, self.watch.running()
        works = driver is not None and driver.poll() is None and not self._back and self._whole()
        works = works and len(self._world.busy()) >= min(len(running), NODES)
        for kill in self._played.kills:
            again = all(name in running or name in self.watch.done for name in kill.under_way)
            if kill.cost is None and (over or (works and again)):
                kill.cost = round(time.monotonic() - self._began - kill.second, 1)
