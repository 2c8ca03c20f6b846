"""The decoder of Xiao et al. 2018 (arXiv 1804.06208, section 3): transposed convolutions, then one map per keypoint."""

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
    final = nn.Conv2d(channels if deconvs else channels_in, keypoints, 1)
    nn.init.normal_(final.weight, std=0.001)
    nn.init.zeros_(final.get_parameter("bias"))
    layers = deconvolutions(channels_in, channels, deconvs)
    return nn.Sequential(OrderedDict(deconv_layers=layers, final_layer=final))
