"""The floor learns the mean and nothing else."""

from __future__ import annotations

import torch

from posebed.config import TrainConfig
from posebed.contracts import Setting
from posebed.pose import Batch, EpisodeBatch, Keypoints
from posebed.records import Category
from posezoo.mean_pose import SPEC, Config

SETTING = Setting((64, 128), 2, (Category("bar", "bar", ("head", "tail")),))


def crops(xy: torch.Tensor, weight: torch.Tensor) -> Batch:
    nothing = torch.zeros(len(xy), dtype=torch.int64)
    return Batch(torch.zeros(len(xy), 3, 64, 128), Keypoints(xy, weight), nothing, nothing)


def test_published_settings_reach_the_mean_of_what_is_labelled() -> None:
    torch.manual_seed(0)
    train = TrainConfig(**SPEC.train)
    truth = torch.tensor([[20.0, 10.0], [100.0, 50.0]])
    xy = truth + 5 * torch.randn(1000, 2, 2)
    weight = torch.stack([torch.ones(1000), (torch.rand(1000) < 0.2).float()], 1)
    model = SPEC.model(Config(), SETTING)
    optimizer = torch.optim.SGD(model.parameters(), lr=train.lr, momentum=train.momentum)
    for epoch in range(train.epochs):
        decays = sum(epoch / train.epochs >= share for share in train.decay_at)
        optimizer.param_groups[0]["lr"] = train.lr * train.decay**decays
        for rows in torch.randperm(1000).split(train.batch_size):
            batch = crops(xy[rows], weight[rows])
            optimizer.zero_grad()
            model.losses(model(batch), batch)["distance"].backward()
            optimizer.step()
    mean = (xy * weight[..., None]).sum(0) / weight.sum(0)[:, None]
    found = model.decode(model(crops(xy[:1], weight[:1])), crops(xy[:1], weight[:1])).xy[0]
    assert (found - mean).norm(dim=1).max() < 1.0


def test_an_episode_is_answered_by_the_mean_of_its_supports() -> None:
    batch = crops(torch.zeros(1, 2, 2), torch.ones(1, 2))
    support = Keypoints(
        torch.tensor([[[[10.0, 20.0], [0.0, 0.0]], [[30.0, 40.0], [0.0, 0.0]], [[9.0, 9.0], [0.0, 0.0]]]]),
        torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]]),
    )
    episode = EpisodeBatch(**vars(batch), support_image=torch.zeros(1, 3, 3, 64, 128), support=support)
    model = SPEC.model(Config(), SETTING)
    points = model.decode(model(episode), episode)
    torch.testing.assert_close(points.xy, torch.tensor([[[20.0, 30.0], [64.0, 32.0]]]))
    torch.testing.assert_close(points.weight, torch.tensor([[2 / 3, 0.0]]))
