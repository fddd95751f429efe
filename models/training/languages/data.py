"""The three splits as prepare.py writes them: reading, bytes, and the random cuts that training sees."""
import os
import sys

import numpy as np
import torch

LANGUAGES = ["cs", "da", "de", "en", "es", "fi", "fr", "hu", "it", "ja", "ko", "nl", "pl", "pt", "ru", "sk", "sr", "sv", "uk", "zh"]
LENGTH, SHORT_LENGTH = 128, 32
SENTENCE_BYTES = 400  # of a training sentence; longer ones are cut
CUTS = (16, 24, 32, 48, 64, 128)  # characters of a snippet that is cut short
CUT_SHARE = 0.7
FEWEST_ROWS = 1000  # training repeats the rows of smaller languages up to this many
SPLITS = ("train", "validation", "test")


def require_data(folder: str) -> None:
    """Ends the program with status 2 and the remedy when a file is missing."""
    missing = [name for name in SPLITS if not os.path.exists(os.path.join(folder, f"{name}.tsv"))]
    if missing:
        print(f"{folder} lacks {', '.join(f'{name}.tsv' for name in missing)}.", file=sys.stderr)
        print(f"Make them: python -m languages.prepare --lists LISTS --out {folder} (it says how to get the lists).", file=sys.stderr)
        sys.exit(2)


def read_split(folder: str, split: str) -> tuple:
    """The texts of a split and their labels, int64."""
    with open(os.path.join(folder, f"{split}.tsv"), encoding="utf-8", newline="\n") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    return [text for _, text in rows], np.array([LANGUAGES.index(language) for language, _ in rows], np.int64)


def to_bytes(texts: list, length: int = LENGTH) -> torch.Tensor:
    """UTF-8 bytes, uint8 [texts, length]: cut at `length`, padded with 0. The same as runtime/text-bytes.ts."""
    x = np.zeros((len(texts), length), np.uint8)
    for row, text in zip(x, texts):
        encoded = text.replace("\0", " ").encode()[:length]
        row[: len(encoded)] = np.frombuffer(encoded, np.uint8)
    return torch.from_numpy(x)


def repeated_rows(labels: np.ndarray) -> np.ndarray:
    """Row numbers in which every language occurs at least FEWEST_ROWS times."""
    rows = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        rows.append(np.tile(own, -(-FEWEST_ROWS // len(own)))[: max(FEWEST_ROWS, len(own))])
    return np.concatenate(rows)


def augment(x: torch.Tensor) -> torch.Tensor:
    """Sentences [n, SENTENCE_BYTES] to snippets int64 [n, LENGTH], cut as prepare.py cuts those of the other splits.

    Most begin at a random word and end after a random number of characters; the rest are the sentence's beginning.
    Scripts without spaces begin at any character.
    """
    n, size = x.shape
    leads = (x > 0) & ((x & 0xC0) != 0x80)
    begins = leads & ((x >= 0xE3) & (x < 0xF0))
    begins[:, 1:] |= leads[:, 1:] & (x[:, :-1] == 32)
    ends = (x > 0).sum(1, keepdim=True)
    begins &= torch.arange(size) <= ends - 20
    begins[:, 0] = True
    cut = torch.rand(n) < CUT_SHARE
    start = torch.where(cut, (torch.rand(n, size) * begins).argmax(1), 0)
    at = start.view(n, 1) + torch.arange(LENGTH)
    snippet = x.gather(1, at.clamp(max=size - 1)) * (at < size)
    characters = ((snippet > 0) & ((snippet & 0xC0) != 0x80)).cumsum(1)
    limit = torch.where(cut, torch.tensor(CUTS)[torch.randint(0, len(CUTS), (n,))], LENGTH)
    return (snippet * (characters <= limit.view(n, 1))).long()
