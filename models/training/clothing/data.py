"""Fashion-MNIST as the Debian package installs it: reading, splitting, normalising, augmenting."""
import gzip
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

PACKAGE = "dataset-fashion-mnist"
DEFAULT_FOLDER = "/usr/share/datasets/fashion-mnist"
FILES = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
LABELS = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
MEAN, STD = 0.2860, 0.3530
VALIDATION, SPLIT_SEED = 5000, 2023


def require_data(folder: str) -> None:
    """Ends the program with status 2 and the remedy when a file is missing."""
    missing = [name for name in FILES if not os.path.exists(os.path.join(folder, name))]
    if missing:
        print(f"{folder} lacks {', '.join(missing)}.", file=sys.stderr)
        print(f"Install the Debian package: apt-get install {PACKAGE}; or point --data at a copy.", file=sys.stderr)
        sys.exit(2)


def read_images(folder: str, part: str) -> np.ndarray:
    """uint8 [samples, 1, 28, 28]."""
    with gzip.open(os.path.join(folder, f"{part}-images-idx3-ubyte.gz")) as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28).copy()


def read_labels(folder: str, part: str) -> np.ndarray:
    """int64 [samples]."""
    with gzip.open(os.path.join(folder, f"{part}-labels-idx1-ubyte.gz")) as file:
        return np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)


def split(count: int) -> tuple:
    """Row numbers of the training and the validation split of the official training set."""
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    return order[VALIDATION:], order[:VALIDATION]


def normalise(images: np.ndarray) -> torch.Tensor:
    return (torch.from_numpy(images).float() / 255 - MEAN) / STD


def augment(x: torch.Tensor) -> torch.Tensor:
    """Mirror half of the images, shift each by up to 2 pixels, erase a rectangle in about a third."""
    n = len(x)
    x = torch.where((torch.rand(n) < 0.5).view(n, 1, 1, 1), x.flip(3), x)
    padded = F.pad(x, (2, 2, 2, 2), value=-MEAN / STD)
    dy, dx = torch.randint(0, 5, (2, n))
    rows = (dy.view(n, 1) + torch.arange(28)).view(n, 1, 28, 1).expand(n, 1, 28, 32)
    columns = (dx.view(n, 1) + torch.arange(28)).view(n, 1, 1, 28).expand(n, 1, 28, 28)
    x = padded.gather(2, rows).gather(3, columns)
    height, width = torch.randint(3, 11, (2, n))
    top, left = (torch.rand(n) * (28 - height)).long(), (torch.rand(n) * (28 - width)).long()
    line = torch.arange(28)
    down = (line >= top.view(n, 1)) & (line < (top + height).view(n, 1))
    across = (line >= left.view(n, 1)) & (line < (left + width).view(n, 1))
    erased = down.view(n, 1, 28, 1) & across.view(n, 1, 1, 28) & (torch.rand(n) < 0.35).view(n, 1, 1, 1)
    x = torch.where(erased, torch.randn(n, 1, 1, 1) * 0.5, x)
    return x.contiguous(memory_format=torch.channels_last)
