"""The network of `languages`: convolutions over bytes, once for 32 bytes with two exits and once for 128 with two.

Both lengths use the same convolutions; norms and heads are each length's own, since short snippets fill 32 bytes and
leave much of 128 empty. Sequences are tensors [n, channels, 1, positions]: a 1x5 convolution is one over positions.
Padding stays exactly 0 in every tensor that may travel, so each stage finds it again without being told the length.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from common.layers import Ladder
from languages.data import LANGUAGES, LENGTH, SHORT_LENGTH

EMBEDDING = 16
WIDTHS = (64, 96, 192, 256)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, (1, kernel), (1, stride), (0, kernel // 2), bias=False)


class Bytes(nn.Module):
    """Byte values int64 [n, length] to features of every byte; 0 is padding."""

    def __init__(self, shared=None):
        super().__init__()
        self.table = shared.table if shared else nn.Embedding(256, EMBEDDING)
        self.conv = shared.conv if shared else convolution(EMBEDDING, WIDTHS[0], 5)
        self.norm = nn.BatchNorm2d(WIDTHS[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        filled = (x > 0).float().unsqueeze(1).unsqueeze(1)
        vectors = self.table(x).transpose(1, 2).unsqueeze(2) * filled
        return F.relu(self.norm(self.conv(vectors))) * filled


def filled_positions(x: torch.Tensor) -> torch.Tensor:
    """1 where any channel is above 0, [n, 1, 1, positions]: features follow a ReLU, and padding is exactly 0."""
    return (x.amax(1, keepdim=True) > 0).float()


class Block(nn.Module):
    """A convolution that halves the positions, then one with a shortcut beside it."""

    def __init__(self, inputs: int, outputs: int, shared=None):
        super().__init__()
        self.down = shared.down if shared else convolution(inputs, outputs, 5, 2)
        self.conv = shared.conv if shared else convolution(outputs, outputs, 3)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        filled = F.max_pool2d(filled_positions(x), (1, 2))
        x = F.relu(self.norms[0](self.down(x))) * filled
        return F.relu(self.norms[1](self.conv(x)) + x) * filled


class PooledHead(nn.Module):
    """Mean and maximum over the positions that hold text, then a linear layer."""

    def __init__(self, inputs: int):
        super().__init__()
        self.dropout = nn.Dropout(0.2)
        self.linear = nn.Linear(2 * inputs, len(LANGUAGES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        positions = filled_positions(x).sum((2, 3)).clamp(min=1)
        pooled = torch.cat([x.sum((2, 3)) / positions, x.amax((2, 3))], 1)
        return self.linear(self.dropout(pooled))


class Languages(nn.Module):
    """`forward` gives the logits of the four rungs, in the order of the ladder, from int64 [n, LENGTH]."""

    def __init__(self):
        super().__init__()
        stem, block = Bytes(), Block(WIDTHS[0], WIDTHS[1])
        self.short = Ladder([stem, block], [PooledHead(WIDTHS[0]), PooledHead(WIDTHS[1])])
        deep = nn.Sequential(Block(WIDTHS[1], WIDTHS[2]), Block(WIDTHS[2], WIDTHS[3]))
        beginning = nn.Sequential(Bytes(stem), Block(WIDTHS[0], WIDTHS[1], block))
        self.long = Ladder([beginning, deep], [PooledHead(WIDTHS[1]), PooledHead(WIDTHS[3])])

    def forward(self, x: torch.Tensor) -> tuple:
        if x.shape[1] != LENGTH:
            raise ValueError(f"{x.shape[1]} bytes, expected {LENGTH}")
        return (*self.short(x[:, :SHORT_LENGTH]), *self.long(x))
