"""The engine on DeepSpeed, ZeRO stages 0 to 3. Importing this module imports DeepSpeed."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import torch

# DeepSpeed chooses its accelerator while it is imported.
if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "warning")

# DeepSpeed's own tuner, of which nothing is used here, would load the whole of MLflow into every worker.
_mlflow = sys.modules.get("mlflow")
sys.modules["mlflow"] = None  # pyright: ignore[reportArgumentType]
try:
    import deepspeed
finally:
    del sys.modules["mlflow"]
    if _mlflow:
        sys.modules["mlflow"] = _mlflow
from torch import Tensor, nn  # noqa: E402

from posebed.config import TrainConfig  # noqa: E402
from posebed.contracts import Precision  # noqa: E402
from posebed.pose import Batch  # noqa: E402
from posebed.training.pose_module import PoseModule  # noqa: E402
from posebed.training.process_group import ProcessGroup  # noqa: E402
from posebed.training.training_step import Computed, TrainingStep  # noqa: E402

# On a CPU DeepSpeed would compile an operator for shared-memory communication, and stop where there is no
# compiler. Gloo does without it.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False

_TAG = "engine"


class DeepSpeedEngine:
    """DeepSpeed around a model and a torch optimizer."""

    def __init__(
        self,
        model: PoseModule,
        optimizer: torch.optim.Optimizer,
        train: TrainConfig,
        group: ProcessGroup,
        precision: Precision,
    ) -> None:
        logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
        self._group, self._stage = group, train.zero
        accumulation = train.accumulation(group.size)
        settings = {
            "train_batch_size": train.batch_size,
            "train_micro_batch_size_per_gpu": train.batch_size // group.size // accumulation,
            "gradient_accumulation_steps": accumulation,
            "gradient_clipping": train.clip,
            "zero_optimization": {"stage": train.zero},
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "steps_per_print": 10**9,
        }
        turned = _made_plain(model)
        step = TrainingStep(model, precision)
        self._engine, self.optimizer, *_ = deepspeed.initialize(model=step, optimizer=optimizer, config=settings)
        self.step_module: TrainingStep = self._engine.module
        self.module: PoseModule = self.step_module.model
        if train.zero == 0:  # the other stages keep parameters in flat buffers
            for parameter in turned:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def __call__(self, batch: Batch) -> Computed:
        return self._engine(batch)

    def backward(self, loss: Tensor) -> None:
        self._engine.backward(loss)

    def step(self) -> None:
        self._engine.step()

    def save(self, folder: Path) -> None:
        self._engine.save_checkpoint(str(folder), tag=_TAG, save_latest=False)

    def load(self, folder: Path) -> None:
        loaded, _ = self._engine.load_checkpoint(str(folder), tag=_TAG)
        if loaded is None:
            raise ValueError(f"{folder} must hold a DeepSpeed checkpoint {_TAG!r}, but it has none that loads")

    def weights(self) -> dict[str, Tensor] | None:
        # Stage 3 scatters parameters over the workers; the context brings them together.
        parameters = list(self.module.parameters()) if self._stage == 3 else []
        with deepspeed.zero.GatheredParameters(parameters, enabled=self._stage == 3):
            if self._group.rank:
                return None
            return {name: value.detach().cpu().clone() for name, value in self.module.state_dict().items()}


def _made_plain(model: nn.Module) -> list[nn.Parameter]:
    """DeepSpeed sends parameters around as plain rows of bytes; the ones that lay with channels innermost."""
    turned = [p for p in model.parameters() if p.dim() == 4 and p.stride(-1) != 1]
    for parameter in turned:
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    return turned
