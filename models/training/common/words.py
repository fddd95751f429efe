"""Building blocks of networks that read hashed word ids. Padding (id 0) is a zero vector and counts nowhere."""
import torch
import torch.nn as nn


def mask_of(ids: torch.Tensor) -> torch.Tensor:
    """1 for words, 0 for padding: [n, tokens] to float [n, tokens, 1]."""
    return (ids > 0).unsqueeze(2).float()


def mean_and_max(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean and maximum over the words, side by side: [n, tokens, width] to [n, 2 * width]. 0 where there are no words."""
    mean = (x * mask).sum(1) / mask.sum(1).clamp(min=1)
    return torch.cat([mean, (x - 1e3 * (1 - mask)).amax(1) * mask.amax(1)], 1)


class WordTable(nn.Module):
    """One vector per bucket. Starts near 0: a bucket that training never met says next to nothing."""

    def __init__(self, buckets: int, width: int):
        super().__init__()
        self.table = nn.Embedding(buckets + 1, width, padding_idx=0)
        nn.init.normal_(self.table.weight, std=0.05)
        with torch.no_grad():
            self.table.weight[0] = 0

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids)
