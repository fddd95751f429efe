"""The network of `landcover`: a perceptron with four exits, the first of which sees only the pixel in the centre.

Depth and input size in one chain: stage 1 reads four of the 36 values and hands the other values on beside its own.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.fusion import fuse_linear_bn_eval

from common.layers import Ladder
from landcover.data import CENTRE, FEATURES, LABELS

CENTRE_UNITS = 16
DROPOUT = 0.1


class Block(nn.Module):
    """Linear, batch norm, ReLU, beside a shortcut where the widths agree; dropout while training."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear, self.norm, self.residual = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm(self.linear(x)))
        return F.dropout(x + y if self.residual else y, DROPOUT, self.training)


class CentrePixel(nn.Module):
    """Features of the centre pixel, followed by the whole patch: one tensor holds all that the next stage needs."""

    def __init__(self):
        super().__init__()
        self.block = Block(CENTRE.stop - CENTRE.start, CENTRE_UNITS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.block(x[:, CENTRE]), x], 1)


class CentreHead(nn.Module):
    """Logits from the features of the centre pixel alone."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(CENTRE_UNITS, len(LABELS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x[:, :CENTRE_UNITS])


def ladder() -> Ladder:
    """Four exits; cuts of 52 (16 and the patch), 64, 256 and 512 values."""
    stages = [
        CentrePixel(),
        Block(CENTRE_UNITS + len(FEATURES), 64),
        nn.Sequential(Block(64, 256), Block(256, 256)),
        nn.Sequential(Block(256, 512), Block(512, 512), Block(512, 512)),
    ]
    return Ladder(stages, [CentreHead(), *(nn.Linear(width, len(LABELS)) for width in (64, 256, 512))])


def fold_norms(net: nn.Module) -> nn.Module:
    """Puts each batch norm into the linear layer before it: the same function, for export. Changes `net`."""
    net.eval()
    for block in [module for module in net.modules() if isinstance(module, Block)]:
        block.linear, block.norm = fuse_linear_bn_eval(block.linear, block.norm), nn.Identity()
    return net
