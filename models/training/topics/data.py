"""The three splits as prepare.py writes them: reading, hashing words and pairs, dropping words."""
import json
import os
import sys

import numpy as np
import torch

from common.tokens import pair_ids, token_ids

SPLITS = ("train", "validation", "test")
SEGMENTS = [("text", 96)]
BUCKETS, PAIR_BUCKETS = 16381, 32749
WORD_DROPOUT = 0.2


def require_data(folder: str) -> None:
    """Ends the program with status 2 and the remedy when a file is missing."""
    missing = [name for name in [*(f"{split}.jsonl" for split in SPLITS), "source.json"] if not os.path.exists(os.path.join(folder, name))]
    if missing:
        print(f"{folder} lacks {', '.join(missing)}.", file=sys.stderr)
        print(f"Make them: python -m topics.prepare --lists LISTS --out {folder} (it says how to get the lists).", file=sys.stderr)
        sys.exit(2)


def read_source(folder: str) -> dict:
    """What prepare.py says of the splits; `labels` are the sections."""
    with open(os.path.join(folder, "source.json"), encoding="utf-8") as file:
        return json.load(file)


def read_rows(folder: str, split: str) -> list:
    """Dictionaries of label, package and text."""
    with open(os.path.join(folder, f"{split}.jsonl"), encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def read_split(folder: str, split: str, labels: list) -> tuple:
    """Ids of words and of the pairs they end, int64 [texts, 96, 2], and labels, int64 [texts]."""
    rows = read_rows(folder, split)
    ids = np.array([token_ids(row["text"], SEGMENTS, BUCKETS) for row in rows], np.int64)
    x = np.stack([ids, pair_ids(ids, [length for _, length in SEGMENTS], PAIR_BUCKETS)], 2)
    return torch.from_numpy(x), np.array([labels.index(row["label"]) for row in rows], np.int64)


def augment(x: torch.Tensor) -> torch.Tensor:
    """Leaves out words and the pairs they are in: they become padding."""
    dropped = torch.rand(x.shape[:2]) < WORD_DROPOUT
    pairs = dropped | torch.roll(dropped, 1, 1)
    return torch.stack([x[:, :, 0].masked_fill(dropped, 0), x[:, :, 1].masked_fill(pairs, 0)], 2)
