"""Trains one of the networks: python -m spam.train subject|whole|convolutions --data DATA --out FOLDER (from models/training)."""
import argparse
import os

import torch

from common.learning import collect_logits, train
from spam import network
from spam.data import augment, read_split, require_data

RECIPES = {
    "subject": {"epochs": 25, "lr": 1e-3, "weight_decay": 0.05, "table_lr": 5e-3, "table_decay": 1e-2},
    "whole": {"epochs": 25, "lr": 1e-3, "weight_decay": 0.05, "table_lr": 5e-3, "table_decay": 1e-2},
    "convolutions": {"epochs": 10, "lr": 1e-3, "weight_decay": 0.05, "table_lr": 5e-3, "table_decay": 1e-2},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net", choices=list(RECIPES))
    parser.add_argument("--data", required=True, help="the folder spam.prepare wrote to")
    parser.add_argument("--out", required=True, help="folder for checkpoints and weights (not for the repository)")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="train on so many mails only (smoke test)")
    arguments = parser.parse_args()
    require_data(arguments.data)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    os.makedirs(arguments.out, exist_ok=True)

    options = argparse.Namespace(
        **RECIPES[arguments.net], batch=64, smoothing=0.03, distil=0.0, distil_epochs=1, average=0.99, seed=arguments.seed
    )
    options.epochs = arguments.epochs or options.epochs
    length = network.SUBJECT if arguments.net == "subject" else None
    x, y = read_split(arguments.data, "train")
    held_out, truth = read_split(arguments.data, "validation")
    x, y = (x[: arguments.limit], y[: arguments.limit]) if arguments.limit else (x, y)
    net = getattr(network, arguments.net)()
    checkpoint = os.path.join(arguments.out, f"{arguments.net}.checkpoint.pt")
    net = train(net, x[:, :length], torch.from_numpy(y), augment, options, [1.0], checkpoint)
    torch.save({"net": net.state_dict(), "options": vars(options)}, os.path.join(arguments.out, f"{arguments.net}.pt"))
    logits = collect_logits(net, held_out[:, :length])[0]
    print(f"{arguments.net}: {100 * (logits.argmax(1) == truth).mean():.2f} % on validation", flush=True)


if __name__ == "__main__":
    main()
