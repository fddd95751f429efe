"""The networks of `keywords`: a trunk with four exits, and a wide variant that sees the log-mel picture itself."""
import torch
import torch.nn as nn

from common.layers import Ladder, Residual, conv_bn_relu

CLASSES = 22


class CellsHead(nn.Module):
    """Perhaps a stride-2 convolution, an average pool to a few cells, linear."""

    def __init__(self, inputs: int, middle: int | None, pool: tuple, cells: int):
        super().__init__()
        self.conv = nn.Identity() if middle is None else conv_bn_relu(inputs, middle, 3, 2)
        self.pool = nn.AvgPool2d(pool)
        self.dropout = nn.Dropout(0.1)
        self.linear = nn.Linear((middle or inputs) * cells, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.dropout(torch.flatten(self.pool(self.conv(x)), 1)))


def trunk() -> Ladder:
    """Four exits; cuts of 16 and 24 channels at 25x20 and of 48 at 13x10, then 96 at 7x5."""
    stages = [
        conv_bn_relu(1, 16, 3, 2),
        conv_bn_relu(16, 24),
        Residual(24, 48, 2),
        nn.Sequential(Residual(48, 64), Residual(64, 96, 2)),
    ]
    heads = [
        CellsHead(16, 24, (4, 2), 15),
        CellsHead(24, 32, (4, 2), 15),
        CellsHead(48, 48, (3, 2), 4),
        CellsHead(96, None, (7, 5), 1),
    ]
    return Ladder(stages, heads)


def variant() -> Ladder:
    """One exit, at full resolution from the start; meant for a node. Trained once, no better than e4 on validation: it does not ship."""
    body = nn.Sequential(conv_bn_relu(1, 24), Residual(24, 48, 2), Residual(48, 96, 2), Residual(96, 192, 2))
    return Ladder([body], [CellsHead(192, None, (7, 5), 1)])
