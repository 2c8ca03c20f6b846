"""How steps are computed: compiled or not, in which precision, and that a training keeps to it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch._inductor import config

from experiments import experiment_of
from posebed.catalog import installed
from posebed.config import TrainConfig
from posebed.contracts import Precision
from posebed.experiment import Experiment
from posebed.pose import Batch, Keypoints
from posebed.storage import Storage
from posebed.training.compiled_code import SHARED, keep_on_this_machine, put_shared, stored_name, take_shared
from posebed.training.log import FolderLog
from posebed.training.loop import epochs, train
from posebed.training.modes import Mode, chosen
from posebed.training.process_group import ProcessGroup
from posebed.training.training_step import TrainingStep, reason_against, total_loss

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch compiles for a CPU with g++, and there is none"
)
CPU = ProcessGroup(0, 1, torch.device("cpu"))


class Told(FolderLog):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "told")
        self.lines: list[str] = []

    def warn(self, line: str) -> None:
        self.lines.append(line)


def short(project: Path, **changes: object) -> Experiment:
    changes = {"epochs": 2, "checkpoint_every": 1, "engine": "torch", "precision": "float32", **changes}
    return experiment_of("baseline").with_overrides({f"train.{name}": value for name, value in changes.items()})


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "checkpoint" / "last.safetensors")


@pytest.mark.services
@needs_compiler
@pytest.mark.parametrize("engine", ["torch", "deepspeed"])
def test_a_compiled_training_learns_what_one_as_written_does(project: Path, engine: str):
    losses = {}
    for mode in ("eager", "default"):
        log = Told(project / mode)
        curve = train(short(project, compile=mode, engine=engine), log)
        assert not log.lines
        assert {line.mode for line in curve} == {str(Mode(mode, "float32"))}
        losses[mode] = [line.loss for line in curve]
    assert losses["default"] == pytest.approx(losses["eager"], rel=1e-3)


@pytest.mark.slow
def test_a_step_that_does_not_compile_runs_as_it_is_written(project: Path, monkeypatch: pytest.MonkeyPatch):
    train(short(project), Told(project / "plain"))
    monkeypatch.setenv("POSEBED_CACHE", str(project / "new"))  # where nothing is compiled yet
    log = Told(project / "fallen")
    with config.patch({"cpp.cxx": ("no-such-compiler",)}):
        curve = train(short(project, compile="default"), log)
    assert len(log.lines) == 1 and "as they are written" in log.lines[0] and "\n" not in log.lines[0]
    assert {line.mode for line in curve} == {"float32, as written"}
    plain, fallen = weights(project / "plain"), weights(project / "fallen")
    assert all(torch.equal(fallen[name], value) for name, value in plain.items())


@pytest.mark.services
@needs_compiler
def test_compiled_code_is_kept_for_its_user_alone_and_shared_only_if_asked_for(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("POSEBED_STORAGE", str(tmp_path / "storage"))
    net: Any = Net()
    step, cpu = TrainingStep(net, "float32"), CPU.device
    for asked in (False, True):
        cache = tmp_path / f"machine-{asked}"
        monkeypatch.setenv("POSEBED_CACHE", str(cache))
        if asked:
            monkeypatch.setenv(SHARED, "1")
        folder = keep_on_this_machine()
        assert folder.is_relative_to(cache)
        assert all(place.stat().st_mode & 0o777 == 0o700 for place in (folder, folder.parent))
        take_shared("job", cpu, pytest.fail)
        step.compile_training("default")
        assert reason_against(step, pictures()) == "" and any(folder.iterdir())
        put_shared("job", cpu)
        assert bool(Storage(str(tmp_path / "storage")).names("compiled")) == asked
    torch.compiler.reset()
    monkeypatch.setenv("POSEBED_CACHE", str(tmp_path / "other-machine"))
    keep_on_this_machine()
    take_shared("job", cpu, pytest.fail)
    step.compile_training("default")
    counters.clear()
    assert reason_against(step, pictures()) == ""
    assert counters["inductor"]["fxgraph_cache_hit"] and not counters["inductor"]["fxgraph_cache_miss"]


def test_shared_code_that_is_none_costs_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("POSEBED_STORAGE", str(tmp_path / "storage"))
    monkeypatch.setenv(SHARED, "1")
    file, lines = tmp_path / "code", list[str]()
    file.write_bytes(b"no code")
    storage = Storage(str(tmp_path / "storage"))
    storage.put(file, stored_name("job", CPU.device))
    take_shared("job", CPU.device, lines.append)
    assert len(lines) == 1 and "compiled again" in lines[0]


def test_code_of_another_user_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("POSEBED_CACHE", str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: -1)
    with pytest.raises(ValueError, match="must be a folder of this user alone for compiled code"):
        keep_on_this_machine()


class Net(nn.Module):
    """Has all that a step may change: a buffer, a generator's draw, and a gradient."""

    def __init__(self, reads_values: bool = False) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm2d(3), nn.Dropout(0.5)
        self._reads_values = reads_values

    def forward(self, batch: Batch) -> Tensor:
        seen = self.drop(self.norm(batch.image))
        return seen * 2 if self._reads_values and seen.mean().item() > 0 else seen

    def losses(self, prediction: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"square": prediction.square().mean()}


def pictures() -> Batch:
    row = torch.zeros(4, dtype=torch.int64)
    return Batch(torch.rand(4, 3, 5, 5), Keypoints(torch.zeros(4, 1, 2), torch.zeros(4, 1)), row, row)


@pytest.mark.parametrize("reads_values", [False, True])
def test_trying_a_step_changes_nothing(reads_values: bool):
    net: Any = Net(reads_values)
    step, batch = TrainingStep(net, "float32"), pictures()
    before, generator = {n: t.clone() for n, t in step.state_dict().items()}, torch.get_rng_state()
    step._in_training = torch.compile(step._computed, fullgraph=True, backend="aot_eager")
    reason = reason_against(step, batch)
    assert bool(reason) == reads_values, reason
    assert all(torch.equal(t, before[n]) for n, t in step.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(p.grad is None for p in step.parameters())


def test_a_step_that_memory_does_not_hold_is_no_fault_of_the_compiler():
    class Full(Net):
        def forward(self, batch: Batch) -> Tensor:
            raise torch.OutOfMemoryError("no room")

    full: Any = Full()
    with pytest.raises(torch.OutOfMemoryError):
        reason_against(TrainingStep(full, "float32"), pictures())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_training_keeps_the_mode_that_it_began_in(
    project: Path, monkeypatch: pytest.MonkeyPatch, precision: Precision
):
    """Whatever ``auto`` would take on the machine where it goes on."""
    experiment = short(project, precision="auto", epochs=3)
    begun: Precision = "bfloat16" if precision == "float32" else "float32"
    take = "posebed.training.loop.chosen"
    for folder, cut in (("whole", 3), ("resumed", 1)):
        monkeypatch.setattr(take, lambda *_: Mode("eager", begun))
        for line in epochs(experiment, FolderLog(project / folder, folder)):
            if line.epoch == cut:
                break
    monkeypatch.setattr(take, lambda *_: Mode("eager", precision))
    curve = train(experiment, FolderLog(project / "resumed", "resumed"))
    assert {line.mode for line in curve} == {f"{begun}, as written"}
    assert all(torch.equal(t, weights(project / "resumed")[n]) for n, t in weights(project / "whole").items())


def test_auto_takes_what_was_measured_and_settings_come_first(monkeypatch: pytest.MonkeyPatch):
    spec = replace(installed().model("simple_baseline"), fastest={"cpu-known": ("default", "bfloat16")})
    kinds = {"cpu-known": Mode("default", "bfloat16"), "cpu": Mode("eager", "float32")}
    kinds["cuda-bf16"] = Mode("eager", "bfloat16")
    for kind, mode in kinds.items():
        monkeypatch.setattr("posebed.training.modes.device_kind", lambda device, kind=kind: kind)
        assert chosen(spec, TrainConfig(), CPU) == mode
        assert chosen(spec, TrainConfig(zero=3), CPU) == replace(mode, compile="eager")
        given = TrainConfig(compile="reduce-overhead", precision="float32")
        assert chosen(spec, given, CPU) == Mode("reduce-overhead", "float32")


def test_weights_that_are_gathered_layer_by_layer_are_not_compiled():
    with pytest.raises(ValueError, match="compile must be eager or auto"):
        TrainConfig(zero=3, compile="default")
    TrainConfig(zero=3, compile="default", engine="torch")


def test_losses_are_summed():
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(2.5)}
    assert total_loss(losses) == 3.5 and total_loss({"a": torch.tensor(1.0)}) == 1
