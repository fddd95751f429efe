"""Trains all widths at once: python -m glyphs.train --out FOLDER [--seed N] (from models/training).

The sandwich rule without sampling: every step runs all four widths; the narrower ones learn half from the labels and
half from the full width's answers.
"""
import argparse
import os

import torch

from common.learning import collect_logits, train
from glyphs import data, network

RECIPE = {"epochs": 10, "lr": 5e-3, "weight_decay": 0.03, "smoothing": 0.02, "distil": 0.5, "weights": [1.0, 1.0, 1.0, 1.0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=data.DEFAULT_FOLDER)
    parser.add_argument("--out", required=True, help="folder for checkpoint and weights (not for the repository)")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="train on so many glyphs only (smoke test)")
    arguments = parser.parse_args()
    data.require_data(arguments.data)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    os.makedirs(arguments.out, exist_ok=True)

    recipe = dict(RECIPE)
    weights = recipe.pop("weights")
    options = argparse.Namespace(**recipe, batch=128, average=0.998, distil_epochs=1, seed=arguments.seed)
    options.epochs = arguments.epochs or options.epochs
    images, labels = data.read(arguments.data, "train")
    count = arguments.limit or len(images)
    x, y = data.normalise(images[:count]), torch.from_numpy(labels[:count])
    checkpoint = os.path.join(arguments.out, "slim.checkpoint.pt")
    net = train(network.SlimNet(), x, y, data.augment, options, weights, checkpoint)
    torch.save({"net": net.state_dict(), "options": vars(options)}, os.path.join(arguments.out, "slim.pt"))
    held_out, truth = data.read(arguments.data, "validation")
    for name, logits in zip(network.WIDTHS, collect_logits(net, data.normalise(held_out))):
        print(f"{name}: {100 * (logits.argmax(1) == truth).mean():.2f} % on validation", flush=True)


if __name__ == "__main__":
    main()
