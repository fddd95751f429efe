"""Writes models/topics from trained weights: python -m topics.export --data DATA --weights FOLDER [--other FOLDER] (from models/training).

Temperatures, evidence, the choice of rungs and of the form of each stage: validation only. Test is read for the `test`
column of app.json and the card; everything is computed from the ONNX files that ship. Milliseconds on nodes are filled
in by `npm run models:profile -- topics`, on the machine that is to be the reference.
"""
import argparse
import datetime
import hashlib
import os
import shutil
import tempfile

import numpy as np
import torch
import torch.nn as nn

from common.application import ANYWHERE, folder_of, measure, seed_record, ship, weights_record, write_json
from common.calibration import fit_temperature, frontier, softmax
from common.costs import count_macs
from common.export import StageWithHead, export_graph
from common.forms import choose_forms
from common.ladder_files import Rung, run_ladder
from common.learning import collect_logits
from common.manifest import tools
from topics import network
from topics.data import BUCKETS, PAIR_BUCKETS, SEGMENTS, SPLITS, read_rows, read_source, read_split, require_data
from topics.train import BAG_HEADS, RECIPE, WEIGHTS

NAMES = ["e1", "e2", "e3", "e4"]
# Every rung but the last works on the tensor of the first; with e3 left out its stage is part of e4's.
RESUMES = {"e1": "input", "e2": "e1", "e3": "e1", "e4": "e3"}
TIERS = {"e1": ANYWHERE, "e2": ANYWHERE, "e3": ["edge", "node"], "e4": ["edge", "node"]}
# Milliseconds per stage in WASM, from `npm run models:profile -- topics` with all four rungs.
STAGE_MS = {"e1": 0.053, "e2": 0.037, "e3": 0.319, "e4": 1.615}
BUDGETS_MS = [0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5]


def load(folder: str, classes: int):
    net = network.topics(classes)
    net.load_state_dict(torch.load(os.path.join(folder, "topics.pt"), weights_only=True)["net"])
    return net.eval()


def graphs(net, kept: list) -> dict:
    """What each rung's file computes: a module from the tensor it resumes from. Where nothing resumes, no tensor leaves the graph."""
    embedding, _, convolution, _ = net.stages
    last = network.LastExit(net)
    found = {
        "e1": StageWithHead(embedding, net.heads[0]),
        "e2": network.Summed(list(net.heads[:2]), 0),
        "e3": StageWithHead(convolution, network.Summed(list(net.heads[:3]), network.CONVOLVED)),
        "e4": last if "e3" in kept else nn.Sequential(convolution, last),
    }
    return {name: found[name] for name in kept}


def export_files(net, example: torch.Tensor, kept: list, path_of) -> dict:
    """Writes one float file per rung; returns the MFLOPs of each."""
    tensors, own = {"input": example}, {}
    for name, module in graphs(net, kept).items():
        x = tensors[resumes_from(name, kept)]
        macs, outputs = count_macs(module.eval(), x)
        own[name] = 2 * macs[0] / 1e6
        if isinstance(outputs, tuple):
            tensors[name] = outputs[0]
        export_graph(module, x, path_of(name), ["feat", "logits"] if isinstance(outputs, tuple) else ["logits"])
    return own


def summed_logits(net, x: torch.Tensor) -> list:
    """Logits of every exit as it ships: its own and those of the exits before it."""
    return list(np.cumsum(collect_logits(net, x), 0))


def resumes_from(name: str, kept: list) -> str:
    return "e1" if name == "e4" and "e3" not in kept else RESUMES[name]


def rungs_of(kept: list) -> list:
    before = {name: resumes_from(name, kept) for name in kept}
    return [Rung(name, "input" if before[name] == "input" else kept.index(before[name])) for name in kept]


def rungs_kept(logits: dict, y: np.ndarray) -> list:
    """Drops e3 unless with it some mean time buys 0.1 points more on validation, and none loses as much."""
    p = {name: softmax(z / fit_temperature(z, y)) for name, z in logits.items()}
    with_exit = frontier([p[name] for name in NAMES], y, list(np.cumsum([STAGE_MS[name] for name in NAMES])), BUDGETS_MS)
    costs = np.cumsum([STAGE_MS["e1"], STAGE_MS["e2"], STAGE_MS["e3"] + STAGE_MS["e4"]])
    without = frontier([p["e1"], p["e2"], p["e4"]], y, list(costs), BUDGETS_MS)
    print("mean milliseconds", BUDGETS_MS)
    print("with e3         %", [round(100 * v, 2) for v in with_exit])
    print("without e3      %", [round(100 * v, 2) for v in without])
    gains = np.subtract(with_exit, without)
    return NAMES if np.nanmax(gains) > 0.001 and np.nanmin(gains) > -0.001 else ["e1", "e2", "e4"]


def write_samples(folder: str, rows: list, labels: list) -> None:
    """The first test text of each section by the hash of its package's name: none was picked by eye or by outcome."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    truth = {}
    rows = sorted(rows, key=lambda row: hashlib.md5(row["package"].encode()).hexdigest())
    for label in labels:
        row = next(row for row in rows if row["label"] == label)
        name = f"{label}-{row['package']}.txt"
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="\n") as file:
            file.write(row["text"] + "\n")
        truth[name] = label
    write_json(os.path.join(folder, "labels.json"), truth)


def print_thresholds(p: list, right: np.ndarray) -> None:
    """What the ladder does by one threshold on validation."""
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        stops = np.argmax(np.stack([*[q.max(1) >= threshold for q in p[:-1]], np.ones(len(right), bool)], 1), 1)
        shares = [round(float((stops == k).mean()), 3) for k in range(len(p))]
        print(f"threshold {threshold}: {100 * right[np.arange(len(right)), stops].mean():.2f} % on validation, leaving {shares}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder topics.prepare wrote to")
    parser.add_argument("--weights", required=True, help="the folder topics.train wrote to with seed 0")
    parser.add_argument("--other", help="the same with seed 1: measured, not shipped")
    arguments = parser.parse_args()
    require_data(arguments.data)
    torch.set_num_threads(1)
    source = read_source(arguments.data)
    labels = source["labels"]
    net = load(arguments.weights, len(labels))
    splits = {split: read_split(arguments.data, split, labels) for split in SPLITS}
    (x, y), (test_x, test_y) = splits["validation"], splits["test"]
    example = x[:2]

    with tempfile.TemporaryDirectory() as folder:
        path_of = lambda name: os.path.join(folder, f"{name}.onnx")  # noqa: E731
        export_files(net, example, NAMES, path_of)
        float_logits, _ = run_ladder([path_of(name) for name in NAMES], rungs_of(NAMES), x.numpy())
        drift = max(float(np.abs(z - float_z[:500]).max()) for z, float_z in zip(summed_logits(net, x[:500]), float_logits))
        print(f"files against the network: at most {drift:.1e} in a logit")
        kept = rungs_kept(dict(zip(NAMES, float_logits)), y)
        print("rungs kept:", kept)
        own = export_files(net, example, kept, path_of)
        rungs = rungs_of(kept)
        paths, forms = choose_forms(rungs, [path_of(name) for name in kept], ["int8"] * len(kept), folder, x.numpy(), y)
        measured = measure("topics", rungs, paths, [own[name] for name in kept], [TIERS[name] for name in kept], forms,
                           (x.numpy(), y), (test_x.numpy(), test_y), digits=4)
        ship("topics", rungs, paths)
    print_thresholds(measured.p, measured.right)
    seeds = [seed_record(0, "as shipped", measured.logits, y, measured.test_logits, test_y)]
    if arguments.other:
        other = load(arguments.other, len(labels))
        found = [[z for name, z in zip(NAMES, summed_logits(other, ids)) if name in kept] for ids in (x, test_x)]
        seeds.append(seed_record(1, "fp32", found[0], y, found[1], test_y))
    print("seeds:", seeds)

    target, length = folder_of("topics"), sum(size for _, size in SEGMENTS)
    write_json(os.path.join(target, "app.json"), {
        "name": "topics", "platform": "text", "version": "1", "title": "Topics (sections of software packages)",
        "task": "text-classification", "labels": labels,
        "input": {
            "name": "words", "datatype": "UINT16", "shape": [length], "bytes": 2 * length, "accepts": ["text/plain"],
            "preprocessing": {"kind": "tokens", "segments": [{"name": name, "length": size} for name, size in SEGMENTS],
                              "buckets": BUCKETS, "bigramBuckets": PAIR_BUCKETS},
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_y)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": measured.records,
    })
    write_samples(os.path.join(target, "samples"), read_rows(arguments.data, "test"), labels)
    write_json(os.path.join(target, "manifest.json"), {
        "application": "topics", "made": datetime.date.today().isoformat(),
        "data": {"source": f"package descriptions of Debian {source['suite']}, main",
                 "licence": "each description under the licence of its package's free software", "lists": source["lists"]},
        "split": {"by": "md5 of the source package", **{split: len(splits[split][1]) for split in SPLITS}},
        "commands": ["python -m topics.prepare --lists LISTS --out DATA",
                     *(f"python -m topics.train --data DATA --out FOLDER-{run['seed']} --seed {run['seed']}" for run in seeds),
                     "python -m topics.export --data DATA --weights FOLDER-0" + (" --other FOLDER-1" if arguments.other else "")],
        "recipe": {**RECIPE, "weights": WEIGHTS, "bagHeads": BAG_HEADS}, "seed": 0, "seeds": seeds,
        "weights": weights_record("topics", forms),
        "tools": tools("torch", "onnx", "onnxruntime", "numpy"),
    })


if __name__ == "__main__":
    main()
