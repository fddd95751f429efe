"""Writes models/spam from trained weights: python -m spam.export --data DATA --weights FOLDER [--other FOLDER] (from models/training).

Temperatures, evidence, every choice: validation only. Test is read for the `test` column of app.json and the card;
everything is computed from the ONNX files that ship. Milliseconds on nodes are filled in by
`npm run models:profile -- spam`, on the machine that is to be the reference.
"""
import argparse
import datetime
import hashlib
import json
import os
import shutil
import tempfile

import numpy as np
import torch

from common.application import ANYWHERE, folder_of, measure, seed_record, ship, weights_record, write_json
from common.costs import stage_costs
from common.export import export_graph
from common.forms import choose_forms
from common.ladder_files import Rung, run_ladder
from common.learning import collect_logits
from common.manifest import tools
from spam import network
from spam.data import BUCKETS, LABELS, SEGMENTS, SPLITS, read_rows, read_split, require_data
from spam.train import RECIPES

SAMPLES_PER_CLASS = 12
RUNGS = [Rung("subject", "input", take=network.SUBJECT), Rung("whole", "input")]
NAMES = [rung.name for rung in RUNGS]


def load(name: str, folder: str):
    net = getattr(network, name)()
    net.load_state_dict(torch.load(os.path.join(folder, f"{name}.pt"), weights_only=True)["net"])
    return net.eval()


def rates(logits: np.ndarray, y: np.ndarray) -> dict:
    """The share of spam that is called spam, and of ham that is not."""
    spam = LABELS.index("spam")
    called = logits.argmax(1) == spam
    return {"spamFound": round(float(called[y == spam].mean()), 4), "hamKept": round(float((~called)[y != spam].mean()), 4)}


def write_samples(folder: str, rows: list) -> None:
    """The first test mails of each class by the hash of their file's name: none was picked by eye or by outcome."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    truth = {}
    rows = sorted(rows, key=lambda row: hashlib.md5(row["file"].encode()).hexdigest())
    for label in LABELS:
        for number, row in [(i, row) for i, row in enumerate(rows) if row["label"] == label][:SAMPLES_PER_CLASS]:
            name = f"{label}-{number}.txt"
            with open(os.path.join(folder, name), "w", encoding="utf-8", newline="\n") as file:
                file.write(row["text"])
            truth[name] = label
    write_json(os.path.join(folder, "labels.json"), truth)


def print_cascade(p: list, y: np.ndarray) -> None:
    """What the ladder does by one threshold on validation: who goes on, and how many are right."""
    for threshold in (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98):
        stays = p[0].max(1) >= threshold
        right = np.where(stays, p[0].argmax(1) == y, p[1].argmax(1) == y)
        print(f"threshold {threshold}: {100 * right.mean():.2f} % on validation, {100 * (1 - stays.mean()):.1f} % go on")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder spam.prepare wrote to")
    parser.add_argument("--weights", required=True, help="the folder spam.train wrote to with seed 0")
    parser.add_argument("--other", help="the same with seed 1: measured, not shipped")
    arguments = parser.parse_args()
    require_data(arguments.data)
    torch.set_num_threads(1)
    splits = {split: read_split(arguments.data, split) for split in SPLITS}
    (x, y), (test_x, test_y) = splits["validation"], splits["test"]
    nets = [load(name, arguments.weights) for name in NAMES]
    own = [stage_costs(net, x[:2, : rung.take])[0]["mflops"] for net, rung in zip(nets, RUNGS)]
    with tempfile.TemporaryDirectory() as folder:
        plain = [os.path.join(folder, f"{name}.onnx") for name in NAMES]
        for net, rung, path in zip(nets, RUNGS, plain):
            export_graph(torch.nn.Sequential(net.stages[0], net.heads[0]), x[:2, : rung.take], path, ["logits"])
        files, _ = run_ladder(plain, RUNGS, x.numpy())
        with torch.no_grad():
            drift = max(float(np.abs(net(x[:, : rung.take])[0].numpy() - z).max()) for net, rung, z in zip(nets, RUNGS, files))
        print(f"files against the networks: at most {drift:.1e} in a logit")
        paths, forms = choose_forms(RUNGS, plain, ["int8"] * 2, folder, x.numpy(), y)
        measured = measure("spam", RUNGS, paths, own, [ANYWHERE] * 2, forms, (x.numpy(), y), (test_x.numpy(), test_y), digits=6)
        ship("spam", RUNGS, paths)
    results = {}
    for name, z, test_z in zip(NAMES, measured.logits, measured.test_logits):
        results[name] = {"rates": {"validation": rates(z, y), "test": rates(test_z, test_y)}}
        print(name, json.dumps(results[name]))
    print_cascade(measured.p, y)
    seeds = [seed_record(0, "as shipped", measured.logits, y, measured.test_logits, test_y)]
    if arguments.other:
        others = [(load(rung.name, arguments.other), rung) for rung in RUNGS]
        found = [[collect_logits(net, ids[:, : rung.take])[0] for net, rung in others] for ids in (x, test_x)]
        seeds.append(seed_record(1, "fp32", found[0], y, found[1], test_y))
    print("seeds:", seeds)

    target, length = folder_of("spam"), sum(size for _, size in SEGMENTS)
    write_json(os.path.join(target, "app.json"), {
        "name": "spam", "platform": "text", "version": "1", "title": "Spam (SpamAssassin corpus)",
        "task": "text-classification", "labels": LABELS,
        "input": {
            "name": "words", "datatype": "UINT16", "shape": [length], "bytes": 2 * length, "accepts": ["text/plain"],
            "preprocessing": {"kind": "tokens", "segments": [{"name": name, "length": size} for name, size in SEGMENTS], "buckets": BUCKETS},
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_y)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": measured.records,
    })
    write_samples(os.path.join(target, "samples"), read_rows(arguments.data, "test"))
    with open(os.path.join(arguments.data, "source.json")) as file:
        source = json.load(file)
    write_json(os.path.join(target, "manifest.json"), {
        "application": "spam", "made": datetime.date.today().isoformat(),
        "data": {**source, "licence": "data PDDL 1.0 and CC0 1.0, package Apache-2.0"},
        "split": {"by": "md5 of the thread (subject without Re: and list tags)", **{split: len(splits[split][1]) for split in SPLITS},
                  "spam": {split: int(splits[split][1].sum()) for split in SPLITS}},
        "commands": ["python -m spam.prepare --package PACKAGE --out DATA",
                     *(f"python -m spam.train {name} --data DATA --out FOLDER-{run['seed']} --seed {run['seed']}" for run in seeds for name in NAMES),
                     "python -m spam.export --data DATA --weights FOLDER-0" + (" --other FOLDER-1" if arguments.other else "")],
        "recipes": {name: RECIPES[name] for name in NAMES}, "seed": 0, "seeds": seeds,
        "weights": weights_record("spam", forms),
        "results": results,
        "tools": tools("torch", "onnx", "onnxruntime", "numpy"),
    })


if __name__ == "__main__":
    main()
