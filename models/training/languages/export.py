"""Writes models/languages from trained weights: python -m languages.export --data DATA --weights FOLDER [--other FOLDER] (from models/training).

Temperatures, evidence, every choice: validation only. Test is read for the `test` column of app.json and the card;
everything is computed from the ONNX files that ship. Milliseconds on nodes are filled in by
`npm run models:profile -- languages`, on the machine that is to be the reference.
"""
import argparse
import datetime
import json
import os
import shutil
import tempfile

import numpy as np
import torch
import torch.nn as nn

from common.application import ANYWHERE, folder_of, measure, seed_record, ship, weights_record, write_json
from common.calibration import frontier
from common.costs import stage_costs
from common.export import StageWithHead, export_graph
from common.forms import choose_forms
from common.ladder_files import Rung, run_ladder
from common.learning import collect_logits
from common.manifest import tools
from languages.data import FEWEST_ROWS, LANGUAGES, LENGTH, SHORT_LENGTH, SPLITS, read_split, repeated_rows, require_data, to_bytes
from languages.network import Languages
from languages.train import RECIPE, WEIGHTS

SAMPLES_PER_CLASS = 2
# l3 gains too little over l2 on validation to be carried elsewhere than on nodes.
RUNGS = [Rung("s1", "input", take=SHORT_LENGTH), Rung("s2", 0), Rung("l2", "input"), Rung("l3", 2, edge=False)]
NAMES = [rung.name for rung in RUNGS]
# Milliseconds per stage where it would run, from `npm run models:profile -- languages`: l3 natively, the others in WASM.
STAGE_MS = [0.048, 0.107, 0.380, 0.313]
BUDGETS_MS = [0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9]


def load(folder: str) -> Languages:
    net = Languages()
    net.load_state_dict(torch.load(os.path.join(folder, "languages.pt"), weights_only=True)["net"])
    return net.to(memory_format=torch.contiguous_format).eval()


def export_files(net: Languages, example: torch.Tensor, paths: list) -> None:
    """One file per rung. Nothing resumes from the end of a chain: its tensor does not leave the graph."""
    inputs = [example[:, :SHORT_LENGTH], example]
    for ladder, x, (first, last) in zip([net.short, net.long], inputs, [paths[:2], paths[2:]]):
        export_graph(StageWithHead(ladder.stages[0], ladder.heads[0]), x, first, ["feat", "logits"])
        with torch.no_grad():
            cut = ladder.stages[0](x)
        export_graph(nn.Sequential(ladder.stages[1], ladder.heads[1]), cut, last, ["logits"])


def recalls(predicted: np.ndarray, y: np.ndarray) -> dict:
    return {name: round(float((predicted[y == i] == i).mean()), 4) for i, name in enumerate(LANGUAGES)}


def write_samples(folder: str, texts: list, labels: np.ndarray) -> None:
    """The first texts of each language in the order of the test set: none was picked by eye or by outcome."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    truth = {}
    for label, name in enumerate(LANGUAGES):
        for row in np.flatnonzero(labels == label)[:SAMPLES_PER_CLASS]:
            file = f"{name}-{row}.txt"
            with open(os.path.join(folder, file), "w", encoding="utf-8", newline="\n") as sample:
                sample.write(texts[row])
            truth[file] = name
    write_json(os.path.join(folder, "labels.json"), truth)


def print_frontiers(p: list, y: np.ndarray) -> None:
    """What each rung is worth: the best accuracy at a mean time, with all rungs and with one left out, on validation."""
    print("mean milliseconds".ljust(18), *(f"{budget:6}" for budget in BUDGETS_MS))
    for dropped in (-1, 0, 1, 2, 3):
        kept = [k for k in range(4) if k != dropped]
        # A rung that resumes from one left out pays for that one's stage as well.
        spent = np.cumsum([STAGE_MS[k] + (STAGE_MS[k - 1] if RUNGS[k].resumes == dropped else 0) for k in kept])
        best = frontier([p[k] for k in kept], y, list(spent), BUDGETS_MS)
        print(("all" if dropped < 0 else f"without {NAMES[dropped]}").ljust(18), *(f"{100 * v:6.2f}" for v in best))


def describe(measured, y: np.ndarray, test_y: np.ndarray, train_y: np.ndarray) -> dict:
    """Recall per language and its mean for every rung; prints the card's table."""
    results = {}
    for name, z, test_z in zip(NAMES, measured.logits, measured.test_logits):
        recall = {"validation": recalls(z.argmax(1), y), "test": recalls(test_z.argmax(1), test_y)}
        macro = {split: round(float(np.mean(list(values.values()))), 4) for split, values in recall.items()}
        results[name] = {"macroRecall": macro, "recall": recall}
        print(f"{name}: mean recall over languages on test {100 * macro['test']:.1f} %")
    for i, language in enumerate(LANGUAGES):
        shares = " | ".join(f"{100 * results[name]['recall']['test'][language]:.1f}" for name in NAMES)
        print(f"| {language} | {int((train_y == i).sum()):,} | {int((test_y == i).sum())} | {shares} |")
    taken = measured.test_logits[3].argmax(1)
    pairs = [(int(((test_y == a) & (taken == b)).sum()), LANGUAGES[a], LANGUAGES[b]) for a in range(20) for b in range(20) if a != b]
    print("most frequent errors of l3 (number, is, taken for):", sorted(pairs, reverse=True)[:12])
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder languages.prepare wrote")
    parser.add_argument("--weights", required=True, help="the folder languages.train wrote to with seed 0")
    parser.add_argument("--other", help="the same with seed 1: measured, not shipped")
    arguments = parser.parse_args()
    require_data(arguments.data)
    torch.set_num_threads(1)
    net = load(arguments.weights)
    splits = {split: read_split(arguments.data, split) for split in SPLITS}
    x, test_x = (to_bytes(splits[split][0]).long() for split in ("validation", "test"))
    y, test_y = splits["validation"][1], splits["test"][1]
    own = [row["mflops"] for row in (*stage_costs(net.short, x[:2, :SHORT_LENGTH]), *stage_costs(net.long, x[:2]))]

    with tempfile.TemporaryDirectory() as folder:
        plain = [os.path.join(folder, f"{name}.onnx") for name in NAMES]
        export_files(net, x[:2], plain)
        with torch.no_grad():
            drift = max(float(np.abs(z.numpy() - f).max()) for z, f in zip(net(x[:500]), run_ladder(plain, RUNGS, x[:500].numpy())[0]))
        print(f"files against the network: at most {drift:.1e} in a logit")
        paths, forms = choose_forms(RUNGS, plain, ["int8"] * 4, folder, x.numpy(), y)
        tiers = [ANYWHERE if rung.edge else ["node"] for rung in RUNGS]
        measured = measure("languages", RUNGS, paths, own, tiers, forms, (x.numpy(), y), (test_x.numpy(), test_y))
        ship("languages", RUNGS, paths)
    print_frontiers(measured.p, y)
    results = describe(measured, y, test_y, splits["train"][1])
    seeds = [seed_record(0, "as shipped", measured.logits, y, measured.test_logits, test_y)]
    if arguments.other:
        other = load(arguments.other)
        seeds.append(seed_record(1, "fp32", collect_logits(other, x), y, collect_logits(other, test_x), test_y))
    print("seeds:", seeds)

    target = folder_of("languages")
    write_json(os.path.join(target, "app.json"), {
        "name": "languages", "platform": "text", "version": "1", "title": "Languages (software descriptions)",
        "task": "text-classification", "labels": LANGUAGES,
        "input": {
            "name": "text", "datatype": "UINT8", "shape": [LENGTH], "bytes": LENGTH, "accepts": ["text/plain"],
            "preprocessing": {"kind": "bytes", "length": LENGTH},
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_y)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": measured.records,
    })
    write_samples(os.path.join(target, "samples"), splits["test"][0], test_y)
    with open(os.path.join(arguments.data, "source.json")) as file:
        source = json.load(file)
    write_json(os.path.join(target, "manifest.json"), {
        "application": "languages", "made": datetime.date.today().isoformat(),
        "data": {"source": f"translated package descriptions of Debian {source['suite']}, main",
                 "licence": "each description under the licence of its package's free software",
                 "lists": source["lists"], "splits": source["splits"]},
        "split": {"by": "md5 of the English original", "train": len(splits["train"][0]), "validation": len(y), "test": len(test_y),
                  "trainRowsPerEpoch": len(repeated_rows(splits["train"][1])), "fewestRowsPerLanguage": FEWEST_ROWS},
        "commands": ["python -m languages.prepare --lists LISTS --out DATA",
                     *(f"python -m languages.train --data DATA --out FOLDER-{run['seed']} --seed {run['seed']}" for run in seeds),
                     "python -m languages.export --data DATA --weights FOLDER-0" + (" --other FOLDER-1" if arguments.other else "")],
        "recipe": {**RECIPE, "weights": WEIGHTS}, "seed": 0, "seeds": seeds,
        "weights": weights_record("languages", forms),
        "results": results,
        "tools": tools("torch", "onnx", "onnxruntime", "numpy"),
    })


if __name__ == "__main__":
    main()
