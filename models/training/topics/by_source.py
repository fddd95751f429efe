"""How much the accuracies of models/topics depend on which packages were drawn: python -m topics.by_source --data DATA --lists LISTS.

Texts of one source package rise and fall together, so the interval of a share of texts is too narrow. This draws whole
sources again, on both held-out splits, and names the largest sources. A reading for the card; nothing is chosen by it.
"""
import argparse
import json
import os

import numpy as np

from common.application import folder_of
from common.ladder_files import Rung, run_ladder
from topics.data import read_rows, read_source, read_split, require_data
from topics.prepare import field, read_list, require_lists

RESAMPLES, SEED, LARGEST = 2000, 0, 3


def sources_of(lists: str, suite: str) -> dict:
    """The source of every package."""
    paragraphs = read_list(require_lists(lists, suite)["packages"])
    return {field(p, "Package"): field(p, "Source").split(" ")[0] or field(p, "Package") for p in paragraphs}


def interval(right: np.ndarray, which: np.ndarray) -> tuple:
    """The 95 % interval of the mean when whole groups are drawn again."""
    hits, counts = np.bincount(which, right), np.bincount(which)
    rows = np.random.default_rng(SEED).integers(0, len(counts), (RESAMPLES, len(counts)))
    return tuple(np.quantile(hits[rows].sum(1) / counts[rows].sum(1), [0.025, 0.975]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder topics.prepare wrote to")
    parser.add_argument("--lists", required=True, help="the folder it read")
    arguments = parser.parse_args()
    require_data(arguments.data)
    about = read_source(arguments.data)
    source_of = sources_of(arguments.lists, about["suite"])
    with open(os.path.join(folder_of("topics"), "app.json"), encoding="utf-8") as file:
        rungs = [Rung(rung["name"], rung["resumesFrom"]) for rung in json.load(file)["rungs"]]
    paths = [os.path.join(folder_of("topics"), f"{rung.name}.onnx") for rung in rungs]
    for split in ("validation", "test"):
        x, y = read_split(arguments.data, split, about["labels"])
        names, which = np.unique([source_of[row["package"]] for row in read_rows(arguments.data, split)], return_inverse=True)
        logits, _ = run_ladder(paths, rungs, x.numpy())
        counts = np.bincount(which)
        for rung, z in zip(rungs, logits):
            right = z.argmax(1) == y
            low, high = interval(right, which)
            largest = [(str(names[i]), int(counts[i]), round(float(right[which == i].mean()), 2)) for i in np.argsort(-counts)[:LARGEST]]
            print(f"{split} {rung.name}: {100 * right.mean():.2f} %, by {len(names)} sources {100 * low:.1f}–{100 * high:.1f} %; largest {largest}")


if __name__ == "__main__":
    main()
