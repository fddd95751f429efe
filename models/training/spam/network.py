"""The two networks of `spam`: a bag of the subject's words, and a bag of all words.

Both read word ids and start from the input, so that the first needs no more than the subject line.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from common.layers import Ladder
from common.words import WordTable, mask_of, mean_and_max
from spam.data import BUCKETS, LABELS, SEGMENTS

SUBJECT = SEGMENTS[0][1]


class PooledHead(nn.Module):
    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.dropout, self.linear = dropout, nn.Linear(width, len(LABELS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(F.dropout(x, self.dropout, self.training))


class Bag(nn.Module):
    """Mean and maximum of word vectors."""

    def __init__(self, width: int):
        super().__init__()
        self.width, self.table = width, WordTable(BUCKETS, width)

    def extra_macs(self, ids: torch.Tensor) -> int:
        """Every value of a vector is added once and compared once."""
        return 2 * ids.shape[1] * self.width

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return mean_and_max(self.table(ids), mask_of(ids))


class Convolutions(nn.Module):
    """Three convolutions over the words; subject and body are pooled apart, so that the last layer can tell them."""

    def __init__(self, width: int, middle: int, outputs: int):
        super().__init__()
        self.table = WordTable(BUCKETS, width)
        self.first, self.second = nn.Conv1d(width, middle, 3, 1, 1), nn.Conv1d(middle, middle, 3, 1, 1)
        self.third = nn.Conv1d(middle, outputs, 3, 1, 1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        # Conv1d under bfloat16 is not reliable on every processor.
        with torch.autocast("cpu", enabled=False):
            mask = mask_of(ids)
            across = mask.transpose(1, 2)
            x = F.dropout(self.table(ids), 0.3, self.training).transpose(1, 2) * across
            x = F.relu(self.first(x)) * across
            x = x + F.relu(self.second(x)) * across
            x = (F.relu(self.third(x)) * across).transpose(1, 2)
            parts = [mean_and_max(x[:, part], mask[:, part]) for part in (slice(0, SUBJECT), slice(SUBJECT, None))]
            return torch.cat(parts, 1)


def subject() -> Ladder:
    """One exit; reads the subject's words only."""
    return Ladder([Bag(24)], [PooledHead(48, 0.3)])


def whole() -> Ladder:
    """One exit; reads subject and body."""
    return Ladder([Bag(24)], [PooledHead(48, 0.3)])


def convolutions() -> Ladder:
    """A heavier look at the same words, for comparison: it was less accurate on validation and does not ship."""
    return Ladder([Convolutions(64, 128, 192)], [PooledHead(4 * 192, 0.4)])
