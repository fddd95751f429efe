"""Trains one of the two networks: python -m keywords.train trunk|variant --data FOLDER --out FOLDER (from models/training)."""
import argparse
import os

import numpy as np
import torch

from common.learning import collect_logits, train
from keywords import network
from keywords.frontend import FRAMES, MELS, normalise
from keywords.prepare import codes_of, read_split, read_training

# An epoch is COPIES (keywords.prepare) readings of the corpus.
RECIPES = {
    "trunk": {"epochs": 3, "lr": 3e-3, "weight_decay": 0.03, "smoothing": 0.02, "distil": 0.4, "weights": [0.6, 0.8, 1.0, 1.4]},
    "variant": {"epochs": 2, "lr": 3e-3, "weight_decay": 0.03, "smoothing": 0.02, "distil": 0.0, "weights": [1.0]},
}


def masked(x: torch.Tensor, axis: int, longest: int) -> torch.Tensor:
    """In a third of the samples, a few neighbouring frames or bands become the sample's mean (SpecAugment)."""
    n, size = len(x), x.shape[axis]
    width = torch.randint(1, longest + 1, (n, 1))
    start = (torch.rand(n, 1) * (size - width + 1)).long()
    line = torch.arange(size)
    inside = (line >= start) & (line < start + width) & (torch.rand(n, 1) < 0.33)
    inside = inside.view(n, 1, size, 1) if axis == 2 else inside.view(n, 1, 1, size)
    return torch.where(inside, x.mean((2, 3), keepdim=True), x)


def augment(codes: torch.Tensor) -> torch.Tensor:
    """Shifts by up to two frames, moves formants a little (one factor per sample), masks frames and bands."""
    x, n = normalise(codes), len(codes)
    source = (torch.arange(FRAMES) + torch.randint(-2, 3, (n, 1))).clamp(0, FRAMES - 1)
    x = x.gather(2, source.view(n, 1, FRAMES, 1).expand(n, 1, FRAMES, MELS))
    band = (torch.arange(MELS) * (0.9 + 0.2 * torch.rand(n, 1))).clamp(0, MELS - 1)
    low = band.floor().long()
    share = (band - low).view(n, 1, 1, MELS)
    below = low.view(n, 1, 1, MELS).expand(n, 1, FRAMES, MELS)
    x = x.gather(3, below) * (1 - share) + x.gather(3, (below + 1).clamp(max=MELS - 1)) * share
    return masked(masked(x, 2, 5), 3, 4).contiguous(memory_format=torch.channels_last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net", choices=list(RECIPES))
    parser.add_argument("--data", required=True, help="the folder keywords.prepare wrote to")
    parser.add_argument("--out", required=True, help="folder for checkpoints and weights (not for the repository)")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="train on so many samples only (smoke test)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    os.makedirs(arguments.out, exist_ok=True)

    recipe = dict(RECIPES[arguments.net])
    weights = recipe.pop("weights")
    options = argparse.Namespace(**recipe, batch=64, average=0.998, distil_epochs=2, seed=arguments.seed)
    options.epochs = arguments.epochs or options.epochs
    x, y = read_training(arguments.data)
    if arguments.limit:
        x, y = x[: arguments.limit], y[: arguments.limit]
    net = getattr(network, arguments.net)()
    checkpoint = os.path.join(arguments.out, f"{arguments.net}.checkpoint.pt")
    net = train(net, x, y, augment, options, weights, checkpoint)
    torch.save({"net": net.state_dict(), "options": vars(options)}, os.path.join(arguments.out, f"{arguments.net}.pt"))
    waves, labels = read_split(arguments.data, "validation")
    for k, logits in enumerate(collect_logits(net, normalise(torch.from_numpy(codes_of(waves))))):
        print(f"exit {k + 1}: {100 * np.mean(logits.argmax(1) == labels):.2f} % on validation", flush=True)


if __name__ == "__main__":
    main()
