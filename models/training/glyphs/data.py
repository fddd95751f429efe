"""Rendered glyphs as glyphs.prepare leaves them: reading, normalising, and the simulated camera."""
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
DEFAULT_FOLDER = os.environ.get("GLYPHS_DATA") or os.path.join(REPOSITORY, ".dystri", "data", "glyphs")
FILE = "glyphs.npz"
SIZE = 28
CHARACTERS = list("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
# Letters whose two cases differ in size only, and size is normalised: one class, as in EMNIST's balanced split.
SAME_SHAPE = {c: c.upper() for c in "cijklmopsuvwxyz"}
LABELS = sorted({SAME_SHAPE.get(c, c) for c in CHARACTERS})
SPLITS = ["train", "validation", "test"]
MEAN, STD = 0.288, 0.236  # of camera images


def require_data(folder: str) -> None:
    """Ends the program with status 2 and the remedy when the rendered glyphs are not there."""
    if not os.path.exists(os.path.join(folder, FILE)):
        print(f"{folder} lacks {FILE}.", file=sys.stderr)
        print("Make it: python -m glyphs.prepare; or point --data, or GLYPHS_DATA, at a folder that has it.", file=sys.stderr)
        sys.exit(2)


def read(folder: str, split: str) -> tuple:
    """Images, uint8 [samples, 1, 28, 28], and labels, int64. Training images are clean, the others went through the camera."""
    with np.load(os.path.join(folder, FILE)) as file:
        return file[f"{split}_images"], file[f"{split}_labels"]


def normalise(images: np.ndarray) -> torch.Tensor:
    return (torch.from_numpy(images).float() / 255 - MEAN) / STD


def denormalise(x: torch.Tensor) -> torch.Tensor:
    return (x * STD + MEAN).clamp(0, 1)


def through(side: int) -> torch.Tensor:
    """What scaling 28 pixels down to `side` and back does along one axis, as a matrix."""
    down = F.interpolate(torch.eye(SIZE)[None, None], size=(side, SIZE), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(down, size=(SIZE, SIZE), mode="bilinear", align_corners=False)[0, 0]


LOWEST_SIDE, HIGHEST_SIDE = 9, 20
RESAMPLING = torch.stack([through(side) for side in range(LOWEST_SIDE, HIGHEST_SIDE + 1)])


def camera(y: torch.Tensor) -> torch.Tensor:
    """A simulated capture of glyphs in 0–1, [n, 1, 28, 28], every draw made per image.

    Rotation to ±17°, shear, size, position; resolution of 9–20 pixels; a 2-pixel bar of any grey across half of them;
    contrast of 0.3–1 over any background; noise of up to 0.22; rounded to 8 bits as a camera's file would be.
    """
    n = len(y)
    uniform = lambda low, high: low + torch.rand(n) * (high - low)  # noqa: E731
    angle, scale, shear = uniform(-0.3, 0.3), uniform(0.85, 1.2), uniform(-0.25, 0.25)
    affine = torch.zeros(n, 2, 3)
    affine[:, 0, 0] = torch.cos(angle) * scale
    affine[:, 0, 1] = -torch.sin(angle) * scale + shear
    affine[:, 1, 0] = torch.sin(angle)
    affine[:, 1, 1] = torch.cos(angle) * scale * uniform(0.88, 1.13)
    affine[:, :, 2] = torch.stack([uniform(-0.125, 0.125), uniform(-0.125, 0.125)], 1)
    y = F.grid_sample(y, F.affine_grid(affine, [n, 1, SIZE, SIZE], align_corners=False), align_corners=False)
    lens = RESAMPLING[torch.randint(0, len(RESAMPLING), (n,))].unsqueeze(1)
    y = lens @ y @ lens.transpose(2, 3)
    at, line = torch.randint(0, SIZE - 1, (n, 1)), torch.arange(SIZE)
    bar = ((line >= at) & (line < at + 2)).view(n, 1, SIZE, 1).expand(n, 1, SIZE, SIZE)
    bar = torch.where((torch.rand(n) < 0.5).view(n, 1, 1, 1), bar, bar.transpose(2, 3))
    y = torch.where(bar & (torch.rand(n) < 0.5).view(n, 1, 1, 1), uniform(0, 1).view(n, 1, 1, 1), y)
    contrast = uniform(0.3, 1).view(n, 1, 1, 1)
    y = y * contrast + uniform(0, 1).view(n, 1, 1, 1) * (1 - contrast)
    y = y + torch.randn(y.shape) * uniform(0, 0.22).view(n, 1, 1, 1)
    return (y.clamp(0, 1) * 255).round() / 255


def augment(x: torch.Tensor) -> torch.Tensor:
    """Training sees every glyph through a fresh camera; validation and test were seen through it once, by glyphs.prepare."""
    return ((camera(denormalise(x)) - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def interval(share: float, n: int) -> float:
    """Half the width of the 95 % interval of a share (normal approximation)."""
    return 1.96 * math.sqrt(share * (1 - share) / n)
