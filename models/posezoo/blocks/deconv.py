"""Decoders: transposed convolutions (Xiao et al. 2018, arXiv 1804.06208, section 3), or bilinear enlargement alone
(Xu et al. 2022, arXiv 2204.12484, section 3.1), then one map per keypoint."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def deconvolutions(channels_in: int, channels: int, count: int) -> nn.Sequential:
    """``count`` times: 4 x 4 transposed convolution of stride 2, batch norm, ReLU. Weights start from N(0, 0.001)."""
    layers: list[nn.Module] = []
    for index in range(count):
        deconv = nn.ConvTranspose2d(channels if index else channels_in, channels, 4, 2, 1, bias=False)
        nn.init.normal_(deconv.weight, std=0.001)
        layers += [deconv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def heatmap_head(channels_in: int, channels: int, deconvs: int, keypoints: int) -> nn.Sequential:
    """``deconvs`` doublings of the resolution, then a 1 x 1 convolution to one heatmap per keypoint."""
    layers = deconvolutions(channels_in, channels, deconvs)
    final = _final(channels if deconvs else channels_in, keypoints, 1)
    return nn.Sequential(OrderedDict(deconv_layers=layers, final_layer=final))


def enlarging_head(channels_in: int, keypoints: int, factor: int = 4) -> nn.Sequential:
    """ReLU, bilinear enlargement, and a 3 x 3 convolution to one heatmap per keypoint."""
    enlarged = nn.Upsample(scale_factor=factor, mode="bilinear")
    return nn.Sequential(OrderedDict(relu=nn.ReLU(), enlarged=enlarged, final_layer=_final(channels_in, keypoints, 3)))


def _final(channels: int, keypoints: int, kernel: int) -> nn.Conv2d:
    """Weights start from N(0, 0.001), biases from 0."""
    final = nn.Conv2d(channels, keypoints, kernel, padding=kernel // 2)
    nn.init.normal_(final.weight, std=0.001)
    nn.init.zeros_(final.get_parameter("bias"))
    return final
