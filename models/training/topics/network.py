"""The network of `topics`: a bag of words and pairs, read short and in full, then convolutions and a pruned transformer.

Padded rows are exactly 0 in every tensor that may travel, so each stage finds the mask in the tensor itself.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from common.layers import Ladder
from common.words import WordTable, mean_and_max
from topics.data import BUCKETS, PAIR_BUCKETS

SHORT = 48  # tokens that the first exit looks at
KEPT = 31  # tokens that the transformer looks at, chosen by a learned score
EMBEDDED, CONVOLVED = 48, 96
WIDE = EMBEDDED + CONVOLVED
ATTENTION_HEADS, HIDDEN = 4, 192


def rows_mask(x: torch.Tensor) -> torch.Tensor:
    """1 for rows that are not padding: [n, tokens, width] to [n, tokens, 1]."""
    return (x.abs().sum(2, keepdim=True) > 0).to(x.dtype)


class Embedding(nn.Module):
    """The vector of each word plus that of the pair it ends."""

    def __init__(self):
        super().__init__()
        self.words, self.pairs = WordTable(BUCKETS, EMBEDDED), WordTable(PAIR_BUCKETS, EMBEDDED)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.words(ids[:, :, 0]) + self.pairs(ids[:, :, 1])
        return F.dropout(x, 0.25, self.training) * (ids[:, :, :1] > 0).float()


class Convolution(nn.Module):
    """A convolution and a depthwise one beside their input."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv1d(EMBEDDED, CONVOLVED, 5, 1, 2)
        self.depthwise = nn.Conv1d(CONVOLVED, CONVOLVED, 3, 1, 1, groups=CONVOLVED)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Conv1d under bfloat16 is not reliable on every processor.
        with torch.autocast("cpu", enabled=False):
            x = x.float()
            y = F.gelu(self.wide(x.transpose(1, 2)))
            y = y + F.relu(self.depthwise(y))
            return torch.cat([F.dropout(y.transpose(1, 2), 0.2, self.training), x], 2) * rows_mask(x)


class Layer(nn.Module):
    """One transformer layer, norms first."""

    def __init__(self, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.norm1, self.qkv, self.out = nn.LayerNorm(WIDE), nn.Linear(WIDE, 3 * WIDE), nn.Linear(WIDE, WIDE)
        self.norm2, self.up, self.down = nn.LayerNorm(WIDE), nn.Linear(WIDE, 3 * WIDE), nn.Linear(3 * WIDE, WIDE)

    def extra_macs(self, x: torch.Tensor) -> int:
        """Multiply-accumulates of the attention itself for one sample: every token with every other, twice."""
        return 2 * x.shape[1] * x.shape[1] * WIDE

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, each = x.shape[0], x.shape[1], WIDE // ATTENTION_HEADS
        mask = rows_mask(x)
        q, k, v = self.qkv(self.norm1(x.float())).reshape(n, length, 3, ATTENTION_HEADS, each).permute(2, 0, 3, 1, 4).unbind(0)
        with torch.autocast("cpu", enabled=False):
            scores = q.float() @ k.float().transpose(2, 3) * each**-0.5
            mixed = F.softmax(scores - 1e4 * (1 - mask.float().transpose(1, 2)[:, None]), 3) @ v.float()
        x = x + F.dropout(self.out(mixed.transpose(1, 2).reshape(n, length, WIDE)), self.dropout, self.training)
        return (x + F.dropout(self.down(F.gelu(self.up(self.norm2(x.float())))), self.dropout, self.training)) * mask


class PrunedTransformer(nn.Module):
    """Keeps the tokens of highest score, beside one that sums up the text; the score is also a gate, so that it learns."""

    def __init__(self):
        super().__init__()
        self.score, self.summary = nn.Linear(WIDE, 1), nn.Linear(2 * WIDE, WIDE)
        self.layers = nn.ModuleList([Layer(0.2), Layer(0.2)])
        self.norm = nn.LayerNorm(WIDE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = rows_mask(x)
        score = self.score(x).float() - 1e4 * (1 - mask)
        kept = score.topk(KEPT, 1)[1]
        gate = torch.gather(score, 1, kept)
        y = self.norm(torch.gather(x, 1, kept.expand(-1, -1, WIDE)).float()) * torch.sigmoid(gate) * 2 * (gate > -5e3).float()
        y = torch.cat([self.norm(self.summary(mean_and_max(x, mask)).float())[:, None], y], 1)
        for layer in self.layers:
            y = layer(y)
        return y


class Head(nn.Module):
    """Logits from mean and maximum over the first `tokens` tokens, or all."""

    def __init__(self, width: int, classes: int, tokens: int | None = None, hidden: int = 0):
        super().__init__()
        self.tokens, self.hidden = tokens, hidden
        self.middle = nn.Linear(2 * width, hidden) if hidden else None
        self.linear = nn.Linear(hidden or 2 * width, classes)

    def extra_macs(self, x: torch.Tensor) -> int:
        """Every value of a token is added once and compared once."""
        return 2 * (self.tokens or x.shape[1]) * x.shape[2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, : self.tokens] if self.tokens else x
        pooled = F.dropout(mean_and_max(x, rows_mask(x)), 0.3, self.training)
        if self.middle is not None:
            pooled = F.dropout(F.relu(self.middle(pooled)), 0.4, self.training)
        return self.linear(pooled)


def topics(classes: int) -> Ladder:
    """Four exits; the first two read the same tensor."""
    heads = [Head(EMBEDDED, classes, SHORT), Head(EMBEDDED, classes), Head(WIDE, classes, hidden=HIDDEN), Head(WIDE, classes, hidden=HIDDEN)]
    return Ladder([Embedding(), nn.Identity(), Convolution(), PrunedTransformer()], heads)


class Summed(nn.Module):
    """An exit as it ships: its own logits and those of the exits before it, which make other mistakes.

    The first two heads read word vectors: the channels from `vectors_first` on.
    """

    def __init__(self, heads: list, vectors_first: int):
        super().__init__()
        self.heads, self.vectors_first = nn.ModuleList(heads), vectors_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bags = x[:, :, self.vectors_first :]
        return sum(head(bags if k < 2 else x) for k, head in enumerate(self.heads))


class LastExit(nn.Module):
    """The transformer's logits and those of the three exits before it, from the tensor after the convolutions."""

    def __init__(self, net: Ladder):
        super().__init__()
        self.transformer, self.head = net.stages[3], net.heads[3]
        self.earlier = Summed(list(net.heads[:3]), CONVOLVED)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.transformer(x)) + self.earlier(x)
