"""Trains the network: python -m landcover.train --out FOLDER [--seed N] (from models/training)."""
import argparse
import os

import torch

from common.learning import collect_logits, train
from landcover import network
from landcover.data import DEFAULT_FOLDER, DIAGONAL, STRAIGHT, augment, normalise, read, require_data, split, touching

RECIPE = {
    "epochs": 60, "batch": 64, "lr": 2e-3, "weight_decay": 0.05, "smoothing": 0.05, "distil": 0.0, "distil_epochs": 10,
    "average": 0.998, "weights": [0.6, 0.8, 1.0, 1.2],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=DEFAULT_FOLDER)
    parser.add_argument("--out", required=True, help="folder for checkpoints and weights (not for the repository)")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="train on so many patches only")
    parser.add_argument("--apart", action="store_true", help="without patches that touch a validation patch")
    arguments = parser.parse_args()
    require_data(arguments.data)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    os.makedirs(arguments.out, exist_ok=True)

    recipe = dict(RECIPE)
    weights = recipe.pop("weights")
    options = argparse.Namespace(**recipe, seed=arguments.seed)
    options.epochs = arguments.epochs or options.epochs
    values, labels = read(arguments.data)
    rows, held_out, _ = split()
    rows = rows[~touching(values, rows, held_out, STRAIGHT + DIAGONAL)] if arguments.apart else rows
    rows = rows[: arguments.limit] if arguments.limit else rows
    print(f"{len(rows)} training patches", flush=True)
    name = f"ladder.{arguments.seed}"
    checkpoint = os.path.join(arguments.out, f"{name}.checkpoint.pt")
    net = train(network.ladder(), normalise(values[rows]), torch.from_numpy(labels[rows]), augment, options, weights, checkpoint)
    torch.save({"net": net.state_dict(), "options": vars(options)}, os.path.join(arguments.out, f"{name}.pt"))
    for k, logits in enumerate(collect_logits(net, normalise(values[held_out]))):
        print(f"exit {k + 1}: {100 * (logits.argmax(1) == labels[held_out]).mean():.2f} % on validation", flush=True)


if __name__ == "__main__":
    main()
