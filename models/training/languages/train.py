"""Trains the network, all four rungs jointly: python -m languages.train --data DATA --out FOLDER (from models/training)."""
import argparse
import os

import numpy as np
import torch

from common.learning import collect_logits, train
from languages.data import LANGUAGES, SENTENCE_BYTES, augment, read_split, repeated_rows, require_data, to_bytes
from languages.network import Languages

RECIPE = {"epochs": 7, "batch": 128, "lr": 4e-3, "weight_decay": 0.03, "smoothing": 0.02, "distil": 0.4, "distil_epochs": 2, "average": 0.998}
WEIGHTS = [0.6, 0.8, 1.0, 1.4]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="the folder languages.prepare wrote")
    parser.add_argument("--out", required=True, help="folder for checkpoints and weights (not for the repository)")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="train on so many sentences only (smoke test)")
    arguments = parser.parse_args()
    require_data(arguments.data)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    os.makedirs(arguments.out, exist_ok=True)

    options = argparse.Namespace(**RECIPE, seed=arguments.seed)
    options.epochs = arguments.epochs or options.epochs
    texts, labels = read_split(arguments.data, "train")
    rows = repeated_rows(labels)
    rows = rows[torch.randperm(len(rows))[: arguments.limit].numpy()] if arguments.limit else rows
    x, y = to_bytes(texts, SENTENCE_BYTES)[rows], torch.from_numpy(labels[rows])
    net = train(Languages(), x, y, augment, options, WEIGHTS, os.path.join(arguments.out, "languages.checkpoint.pt"))
    torch.save({"net": net.state_dict(), "options": vars(options)}, os.path.join(arguments.out, "languages.pt"))

    texts, labels = read_split(arguments.data, "validation")
    for k, logits in enumerate(collect_logits(net, to_bytes(texts).long())):
        right = logits.argmax(1) == labels
        recall = {name: round(100 * float(right[labels == i].mean())) for i, name in enumerate(LANGUAGES) if (labels == i).any()}
        print(f"rung {k + 1}: {100 * right.mean():.2f} % on validation, macro {np.mean(list(recall.values())):.1f}, {recall}", flush=True)


if __name__ == "__main__":
    main()
