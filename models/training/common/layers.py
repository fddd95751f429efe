"""Building blocks shared by the networks, and the convention all of them follow.

A network is a list of stages and a list of heads of the same length. Stage k turns the previous stage's tensor
into the tensor that may travel to another machine; head k turns that tensor into logits. Heads are side branches:
nothing after stage k depends on head k, so running the stages one by one gives exactly the logits of one big graph.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


def conv_bn_relu(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU; `kernel // 2` padding keeps the size at stride 1."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., CVPR 2016), projected where the shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.first = conv_bn_relu(inputs, outputs, 3, stride)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


class SideHead(nn.Module):
    """Stride-2 convolution, average pool of a 7x7 map to 3x3 cells, linear: cheap, and the trunk keeps its resolution."""

    def __init__(self, inputs: int, middle: int, classes: int):
        super().__init__()
        self.conv = conv_bn_relu(inputs, middle, 3, 2)
        self.pool = nn.AvgPool2d(3, 2)
        self.linear = nn.Linear(middle * 9, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.flatten(self.pool(self.conv(x)), 1))


class PooledHead(nn.Module):
    """Global average pool of a 7x7 map and a linear layer: the usual last head."""

    def __init__(self, inputs: int, classes: int):
        super().__init__()
        self.pool = nn.AvgPool2d(7)
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.flatten(self.pool(x), 1))


class Ladder(nn.Module):
    """Stages and heads as one module; `forward` returns the logits of every exit, shallowest first."""

    def __init__(self, stages: list, heads: list):
        super().__init__()
        if len(stages) != len(heads):
            raise ValueError(f"{len(stages)} stages but {len(heads)} heads")
        self.stages, self.heads = nn.ModuleList(stages), nn.ModuleList(heads)

    def forward(self, x: torch.Tensor) -> tuple:
        outputs = []
        for stage, head in zip(self.stages, self.heads):
            x = stage(x)
            outputs.append(head(x))
        return tuple(outputs)
