"""A slimmable network (Yu et al., ICLR 2019): one weight set that runs at four widths.

Width w uses the first w of every layer's channels and its own batch norms; all else is shared. What ships is one plain
network per width, cut out of the shared weights by `at_width`.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from common.layers import Ladder
from glyphs.data import LABELS

CLASSES = len(LABELS)
WIDTHS = {"w8": 1 / 8, "w4": 1 / 4, "w2": 1 / 2, "w1": 1.0}
CHANNELS, STRIDES = [32, 64, 96, 96, 160], [2, 1, 2, 1, 1]
CELLS = 9  # the last 7x7 map is pooled to 3x3


class SlimConv(nn.Module):
    """3x3 convolution, batch norm, ReLU on the leading channels of one width."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(nn.Conv2d(inputs, outputs, 3, bias=False).weight.detach())
        self.norms = nn.ModuleDict({name: nn.BatchNorm2d(int(outputs * width)) for name, width in WIDTHS.items()})

    def kernel(self, name: str, inputs: int) -> torch.Tensor:
        return self.weight[: self.norms[name].num_features, :inputs]

    def forward(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.relu(self.norms[name](F.conv2d(x, self.kernel(name, x.shape[1]), None, self.stride, 1)))


class SlimNet(nn.Module):
    """`forward` returns the logits of every width, narrowest first, each computed from the input."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(SlimConv(*shape) for shape in zip([1, *CHANNELS[:-1]], CHANNELS, STRIDES))
        self.linear = nn.Linear(CHANNELS[-1] * CELLS, CLASSES)

    def head_weight(self, inputs: int) -> torch.Tensor:
        return self.linear.weight.view(CLASSES, CHANNELS[-1], CELLS)[:, :inputs].reshape(CLASSES, -1)

    def run(self, x: torch.Tensor, name: str) -> torch.Tensor:
        for conv in self.convs:
            x = conv(x, name)
        inputs = x.shape[1]
        return F.linear(torch.flatten(F.avg_pool2d(x, 3, 2), 1), self.head_weight(inputs), self.linear.bias)

    def forward(self, x: torch.Tensor) -> tuple:
        return tuple(self.run(x, name) for name in WIDTHS)


@torch.no_grad()
def at_width(net: SlimNet, name: str) -> Ladder:
    """A plain network of one stage with copies of the weights of one width, for export and counting."""
    layers, inputs = [], 1
    for conv in net.convs:
        norm = conv.norms[name]
        plain = nn.Conv2d(inputs, norm.num_features, 3, conv.stride, 1, bias=False)
        plain.weight.copy_(conv.kernel(name, inputs))
        layers += [plain, norm, nn.ReLU()]
        inputs = norm.num_features
    linear = nn.Linear(inputs * CELLS, CLASSES)
    linear.weight.copy_(net.head_weight(inputs))
    linear.bias.copy_(net.linear.bias)
    head = nn.Sequential(nn.AvgPool2d(3, 2), nn.Flatten(1), linear)
    return Ladder([nn.Sequential(*layers)], [head]).eval()
