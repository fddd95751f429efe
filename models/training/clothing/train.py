"""Trains one of the two networks: python -m clothing.train trunk|variant --out FOLDER (from models/training)."""
import argparse
import os

import torch

from clothing import network
from clothing.data import DEFAULT_FOLDER, augment, normalise, read_images, read_labels, require_data, split
from common.learning import collect_logits, train

RECIPES = {
    "trunk": {"epochs": 12, "lr": 4e-3, "weight_decay": 0.02, "smoothing": 0.02, "distil": 0.5, "weights": [0.6, 0.8, 1.0, 1.0, 1.5]},
    "variant": {"epochs": 8, "lr": 3e-3, "weight_decay": 0.05, "smoothing": 0.05, "distil": 0.0, "weights": [1.0]},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net", choices=list(RECIPES))
    parser.add_argument("--data", default=DEFAULT_FOLDER)
    parser.add_argument("--out", required=True, help="folder for checkpoints and weights (not for the repository)")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="train on so many images only (smoke test)")
    arguments = parser.parse_args()
    require_data(arguments.data)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    os.makedirs(arguments.out, exist_ok=True)

    recipe = dict(RECIPES[arguments.net])
    weights = recipe.pop("weights")
    options = argparse.Namespace(**recipe, batch=128, average=0.998, distil_epochs=2, seed=arguments.seed)
    options.epochs = arguments.epochs or options.epochs
    images, labels = read_images(arguments.data, "train"), read_labels(arguments.data, "train")
    rows, held_out = split(len(images))
    rows = rows[: arguments.limit] if arguments.limit else rows
    net = getattr(network, arguments.net)()
    x, y = normalise(images[rows]), torch.from_numpy(labels[rows])
    checkpoint = os.path.join(arguments.out, f"{arguments.net}.checkpoint.pt")
    net = train(net, x, y, augment, options, weights, checkpoint)
    torch.save({"net": net.state_dict(), "options": vars(options)}, os.path.join(arguments.out, f"{arguments.net}.pt"))
    for k, logits in enumerate(collect_logits(net, normalise(images[held_out]))):
        print(f"exit {k + 1}: {100 * (logits.argmax(1) == labels[held_out]).mean():.2f} % on validation", flush=True)


if __name__ == "__main__":
    main()
