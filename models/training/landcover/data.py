"""Statlog (Landsat Satellite) as the Debian package r-cran-mlbench carries it: reading, splitting, normalising, augmenting."""
import os
import sys

import numpy as np
import torch

from landcover.rdata import read_frame

PACKAGE = "r-cran-mlbench"
DEFAULT_FOLDER = "/usr/lib/R/site-library/mlbench/data"
FILE = "Satellite.rda"
LABELS = ["red soil", "cotton crop", "grey soil", "damp grey soil", "vegetation stubble", "very damp grey soil"]
PIXELS = ["top-left", "top", "top-right", "left", "centre", "right", "bottom-left", "bottom", "bottom-right"]
BANDS = ["green", "red", "near-infrared 1", "near-infrared 2"]
FEATURES = [f"{pixel} {band}" for pixel in PIXELS for band in BANDS]
CENTRE = slice(16, 20)
TRAINING, TEST = 4435, 2000  # the split documented with the data: the file's first and last rows
VALIDATION, SPLIT_SEED = 600, 2023
# Per band over the training rows that are not validation, the same for all nine pixels: a turned patch stays a patch.
BAND_MEAN, BAND_STD = [69.13, 83.48, 99.18, 82.54], [13.52, 22.75, 16.67, 18.86]
MEAN, STD = BAND_MEAN * len(PIXELS), BAND_STD * len(PIXELS)
NOISE = 0.08


def require_data(folder: str) -> None:
    """Ends the program with status 2 and the remedy when the file is missing."""
    if not os.path.exists(os.path.join(folder, FILE)):
        print(f"{folder} lacks {FILE}.", file=sys.stderr)
        print(f"Install the Debian package: apt-get install {PACKAGE}. It brings R; to do without:", file=sys.stderr)
        print(f"apt-get download {PACKAGE} && dpkg -x {PACKAGE}_*.deb FOLDER, then --data FOLDER{DEFAULT_FOLDER}", file=sys.stderr)
        sys.exit(2)


def package_version(folder: str) -> str:
    """The version that the R package states beside its data."""
    with open(os.path.join(folder, "..", "DESCRIPTION")) as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith("Version:"))


def read(folder: str) -> tuple:
    """All rows in the order of the file: uint8 [rows, 36], pixel by pixel with the bands together, and int64 labels."""
    columns = read_frame(os.path.join(folder, FILE), "Satellite")
    codes, names = columns.pop("classes")
    values = np.stack(list(columns.values()), 1)
    if names != LABELS or values.shape != (TRAINING + TEST, len(FEATURES)) or not np.array_equal(values, values.astype(np.uint8)):
        raise ValueError(f"{FILE} is not the data set this was written for")
    return values.astype(np.uint8), codes.astype(np.int64)


def split() -> tuple:
    """Row numbers: training, validation (drawn from the documented training rows by seed), test."""
    order = np.random.default_rng(SPLIT_SEED).permutation(TRAINING)
    return order[VALIDATION:], order[:VALIDATION], np.arange(TRAINING, TRAINING + TEST)


STRAIGHT = [(0, 1), (0, -1), (1, 0), (-1, 0)]
DIAGONAL = [(1, 1), (1, -1), (-1, 1), (-1, -1)]


def touching(values: np.ndarray, rows: np.ndarray, others: np.ndarray, steps: list) -> np.ndarray:
    """Per row: do its pixels equal those of one of `others`, moved by one of `steps` (down, right), where the two overlap?

    Six pixels overlap after a straight step, four after a diagonal one: neighbours in the image, as good as surely.
    """

    def side(row: int, down: int, right: int) -> bytes:
        cut = [slice(max(step, 0), 3 + min(step, 0)) for step in (down, right)]
        return values[row].reshape(3, 3, len(BANDS))[cut[0], cut[1]].tobytes()

    seen = {(down, right): {side(row, -down, -right) for row in others} for down, right in steps}
    return np.array([any(side(row, *step) in seen[step] for step in steps) for row in rows])


def normalise(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((values.astype(np.float32) - np.float32(MEAN)) / np.float32(STD))


def symmetries() -> torch.Tensor:
    """The eight ways to turn and mirror a patch, as positions of the 36 values: int64 [8, 36]."""
    patch = np.arange(len(FEATURES)).reshape(3, 3, len(BANDS))
    turned = [np.rot90(p, k) for p in (patch, patch[::-1]) for k in range(4)]
    return torch.from_numpy(np.stack([t.reshape(-1) for t in turned]))


SYMMETRIES = symmetries()


def augment(x: torch.Tensor) -> torch.Tensor:
    """Turns and mirrors each patch at random and adds a little noise: ground looks the same from every side."""
    turned = x.gather(1, SYMMETRIES[torch.randint(0, len(SYMMETRIES), (len(x),))])
    return turned + NOISE * torch.randn_like(turned)
