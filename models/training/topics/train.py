"""Trains the network with all its exits: python -m topics.train --data DATA --out FOLDER [--seed N] (from models/training)."""
import argparse
import os

import numpy as np
import torch
import torch.nn.functional as F

from common.learning import collect_logits, train
from topics.data import augment, read_source, read_split, require_data
from topics.network import topics
from topics.prepare import MOST, TEST_SHARE, VALIDATION_SHARE

RECIPE = {
    "epochs": 5, "batch": 96, "lr": 1.5e-3, "weight_decay": 0.1, "table_lr": 8e-3, "table_decay": 1e-3, "smoothing": 0.05,
    "distil": 0.3, "distil_epochs": 2, "average": 0.995,
}
WEIGHTS = [0.8, 1.0, 1.0, 1.0]
BAG_HEADS = {"epochs": 4, "batch": 256, "lr": 2e-2, "weight_decay": 1e-4}


def class_offsets(y: np.ndarray) -> torch.Tensor:
    """Per section, the log of how often it is in training to how often it would be with at most MOST texts in all splits."""
    counts = np.bincount(y)
    return torch.from_numpy(np.log(counts / np.minimum(counts, MOST * (1 - TEST_SHARE - VALIDATION_SHARE)))).float()


def tune_bag_heads(net, x: torch.Tensor, y: torch.Tensor, offsets: torch.Tensor) -> None:
    """Trains the first two heads alone, the table as it is: at the rate of the deep layers linear heads learn too slowly."""
    net.train()
    steps = len(x) // BAG_HEADS["batch"]
    parameters = [p for head in net.heads[:2] for p in head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=BAG_HEADS["lr"], weight_decay=BAG_HEADS["weight_decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, BAG_HEADS["lr"], total_steps=steps * BAG_HEADS["epochs"])
    for _ in range(BAG_HEADS["epochs"]):
        order = torch.randperm(len(x))
        for step in range(steps):
            rows = order[step * BAG_HEADS["batch"] : (step + 1) * BAG_HEADS["batch"]]
            with torch.no_grad():
                words = net.stages[0](augment(x[rows]))
            loss = sum(F.cross_entropy(head(words) + offsets, y[rows], label_smoothing=RECIPE["smoothing"]) for head in net.heads[:2])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    net.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="the folder topics.prepare wrote to")
    parser.add_argument("--out", required=True, help="folder for checkpoints and weights (not for the repository)")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="train on so many texts only (smoke test)")
    arguments = parser.parse_args()
    require_data(arguments.data)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    os.makedirs(arguments.out, exist_ok=True)

    options = argparse.Namespace(**RECIPE, seed=arguments.seed)
    options.epochs = arguments.epochs or options.epochs
    labels = read_source(arguments.data)["labels"]
    x, y = read_split(arguments.data, "train", labels)
    held_out, truth = read_split(arguments.data, "validation", labels)
    x, y = (x[: arguments.limit], y[: arguments.limit]) if arguments.limit else (x, y)
    options.offsets = class_offsets(y)
    net = topics(len(labels))
    checkpoint = os.path.join(arguments.out, "topics.checkpoint.pt")
    net = train(net, x, torch.from_numpy(y), augment, options, WEIGHTS, checkpoint)
    tune_bag_heads(net, x, torch.from_numpy(y), options.offsets)
    torch.save({"net": net.state_dict(), "options": vars(options)}, os.path.join(arguments.out, "topics.pt"))
    for k, logits in enumerate(collect_logits(net, held_out)):
        print(f"exit {k + 1}: {100 * (logits.argmax(1) == truth).mean():.2f} % on validation", flush=True)


if __name__ == "__main__":
    main()
