"""Writes models/languages from trained weights: python -m languages.export --data DATA --weights FOLDER (from models/training).

Temperatures, evidence, every choice: validation only. Test is read for the `test` column of app.json and the card.
Everything is computed from the ONNX files that ship, int8 weights included. Measured milliseconds are filled in by
`npm run models:profile -- languages`, on the machine that is to be the reference. With --dry-run nothing is written:
for reporting further seeds.
"""
import argparse
import datetime
import json
import os
import shutil
import tempfile

import numpy as np
import onnxruntime
import torch
import torch.nn as nn

from common.calibration import evidence_table, expected_calibration_error, fit_temperature, frontier, softmax
from common.costs import stage_costs
from common.export import StageWithHead, export_graph
from common.manifest import sha256, tools
from common.packing import packed_bytes
from common.quantise import to_int8
from languages.data import FEWEST_ROWS, LANGUAGES, LENGTH, SHORT_LENGTH, SPLITS, read_split, repeated_rows, require_data, to_bytes
from languages.network import Languages
from languages.train import RECIPE, WEIGHTS

SAMPLES_PER_CLASS = 2
NAMES = ["s1", "s2", "l2", "l3"]
RESUMES = ["input", 0, "input", 2]
ANYWHERE = ["device", "edge", "node"]
TIERS = [ANYWHERE, ANYWHERE, ANYWHERE, ["node"]]  # l3 gains too little over l2 on validation to be carried elsewhere
# Milliseconds per stage where it would run, from `npm run models:profile -- languages`: l3 natively, the others in WASM.
STAGE_MS = [0.048, 0.107, 0.380, 0.313]
BUDGETS_MS = [0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9]
TARGET = os.path.join(os.path.dirname(__file__), "..", "..", "languages")


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


def run_files(paths: list, x: np.ndarray) -> tuple:
    """Logits per rung, and the tensors of the first samples at each cut."""
    sessions = [onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in paths]
    logits, features = [[] for _ in paths], {}
    for first in range(0, len(x), 500):
        rows = x[first : first + 500]
        for k, source in ((0, rows[:, :SHORT_LENGTH]), (2, rows)):
            feature, z = sessions[k].run(["feat", "logits"], {"x": source})
            logits[k].append(z)
            logits[k + 1].append(sessions[k + 1].run(["logits"], {"x": feature})[0])
            features.setdefault(k, feature[:150])
    return [np.concatenate(parts) for parts in logits], features


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


def write_json(path: str, value: dict) -> None:
    with open(path, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def print_frontiers(p: list, y: np.ndarray) -> None:
    """What each rung is worth: the best accuracy at a mean time, with all rungs and with one left out, on validation."""
    print("mean milliseconds".ljust(18), *(f"{budget:6}" for budget in BUDGETS_MS))
    for dropped in (-1, 0, 1, 2, 3):
        kept = [k for k in range(4) if k != dropped]
        # A rung that resumes from one left out pays for that one's stage as well.
        spent = np.cumsum([STAGE_MS[k] + (STAGE_MS[k - 1] if RESUMES[k] == dropped else 0) for k in kept])
        best = frontier([p[k] for k in kept], y, list(spent), BUDGETS_MS)
        print(("all" if dropped < 0 else f"without {NAMES[dropped]}").ljust(18), *(f"{100 * v:6.2f}" for v in best))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder languages.prepare wrote")
    parser.add_argument("--weights", required=True, help="the folder languages.train wrote to")
    parser.add_argument("--seed", type=int, default=0, help="the seed of that training, for the manifest")
    parser.add_argument("--dry-run", action="store_true", help="print the results and write nothing")
    arguments = parser.parse_args()
    require_data(arguments.data)
    net = load(arguments.weights)
    splits = {split: read_split(arguments.data, split) for split in SPLITS}
    x = {split: to_bytes(splits[split][0]).long() for split in ("validation", "test")}
    y, test_y = splits["validation"][1], splits["test"][1]
    example = x["validation"][:2]

    with tempfile.TemporaryDirectory() as folder:
        plain = [os.path.join(folder, f"{name}.plain.onnx") for name in NAMES]
        files = [os.path.join(folder, f"{name}.onnx") for name in NAMES]
        export_files(net, example, plain)
        for source, target in zip(plain, files):
            to_int8(source, target)
        float_logits, _ = run_files(plain, x["validation"].numpy())
        with torch.no_grad():
            drift = max(float(np.abs(z.numpy() - f[:500]).max()) for z, f in zip(net(x["validation"][:500]), float_logits))
        logits, features = run_files(files, x["validation"].numpy())
        test_logits, _ = run_files(files, x["test"].numpy())
        print(f"files against the network: at most {drift:.1e} in a logit")
        costs = [*stage_costs(net.short, example[:, :SHORT_LENGTH]), *stage_costs(net.long, example)]
        sizes = [{"float": os.path.getsize(a), "int8": os.path.getsize(b)} for a, b in zip(plain, files)]
        if not arguments.dry_run:
            os.makedirs(TARGET, exist_ok=True)
            for name, file in zip(NAMES, files):
                shutil.copyfile(file, os.path.join(TARGET, f"{name}.onnx"))

    temperatures = [fit_temperature(z, y) for z in logits]
    p = [softmax(z / t) for z, t in zip(logits, temperatures)]
    right = np.stack([z.argmax(1) == y for z in logits], 1)
    rungs, results = [], {}
    for k, name in enumerate(NAMES):
        own = costs[k]["mflops"]
        before = 0 if RESUMES[k] == "input" else costs[k - 1]["mflops"]
        cut = features.get(k)
        quality = {"validation": round(float(right[:, k].mean()), 4), "test": round(float((test_logits[k].argmax(1) == test_y).mean()), 4)}
        rungs.append({
            "name": name,
            "stage": f"{name}.onnx",
            "resumesFrom": RESUMES[k],
            **({"take": SHORT_LENGTH} if k == 0 else {}),
            "tiers": TIERS[k],
            "mflops": {"own": round(own, 3), "cumulative": round(own + before, 3)},
            "referenceMs": {"edge": 1, "node": 1},  # until measured
            **({} if cut is None else {"cut": {"shape": costs[k]["shape"], "bytes": {
                "f32": int(np.prod(costs[k]["shape"])) * 4, "u8": packed_bytes(cut, 8), "u4": packed_bytes(cut, 4)}}}),
            "temperature": round(temperatures[k], 4),
            "quality": quality,
            "evidence": evidence_table(p[k], right),
        })
        recall = {"validation": recalls(logits[k].argmax(1), y), "test": recalls(test_logits[k].argmax(1), test_y)}
        results[name] = {
            **quality,
            "floatValidation": round(float((float_logits[k].argmax(1) == y).mean()), 4),
            "macroRecall": {split: round(float(np.mean(list(values.values()))), 4) for split, values in recall.items()},
            "recall": recall,
        }
        errors = [expected_calibration_error(softmax(logits[k]), y), expected_calibration_error(p[k], y)]
        print(f"{name}: validation {100 * quality['validation']:.2f} % (float weights {100 * results[name]['floatValidation']:.2f} %), "
              f"test {100 * quality['test']:.2f} %, macro {100 * results[name]['macroRecall']['test']:.1f} %, "
              f"{rungs[-1]['mflops']['cumulative']} MFLOPs, {sizes[k]['int8']} bytes (float {sizes[k]['float']}), "
              f"T {temperatures[k]:.2f}, calibration error {errors[0]:.3f} -> {errors[1]:.3f}")
    print_frontiers(p, y)
    for i, language in enumerate(LANGUAGES):
        shares = " | ".join(f"{100 * results[name]['recall']['test'][language]:.1f}" for name in NAMES)
        print(f"| {language} | {int((splits['train'][1] == i).sum()):,} | {int((test_y == i).sum())} | {shares} |")
    confused = test_logits[3].argmax(1)
    pairs = [(int(((test_y == a) & (confused == b)).sum()), LANGUAGES[a], LANGUAGES[b]) for a in range(20) for b in range(20) if a != b]
    print("most frequent errors of l3 (number, is, taken for):", sorted(pairs, reverse=True)[:12])
    if arguments.dry_run:
        return

    write_json(os.path.join(TARGET, "app.json"), {
        "name": "languages", "platform": "text", "version": "1", "title": "Languages (software descriptions)",
        "task": "text-classification", "labels": LANGUAGES,
        "input": {
            "name": "text", "datatype": "UINT8", "shape": [LENGTH], "bytes": LENGTH, "accepts": ["text/plain"],
            "preprocessing": {"kind": "bytes", "length": LENGTH},
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_y)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": rungs,
    })
    write_samples(os.path.join(TARGET, "samples"), splits["test"][0], test_y)
    with open(os.path.join(arguments.data, "source.json")) as file:
        source = json.load(file)
    write_json(os.path.join(TARGET, "manifest.json"), {
        "application": "languages", "made": datetime.date.today().isoformat(),
        "data": {"source": f"translated package descriptions of Debian {source['suite']}, main",
                 "licence": "each description under the licence of its package's free software",
                 "lists": source["lists"], "splits": source["splits"]},
        "split": {"by": "md5 of the English original", "train": len(splits["train"][0]), "validation": len(y), "test": len(test_y),
                  "trainRowsPerEpoch": len(repeated_rows(splits["train"][1])), "fewestRowsPerLanguage": FEWEST_ROWS},
        "commands": ["python -m languages.prepare --lists LISTS --out DATA",
                     f"python -m languages.train --data DATA --out FOLDER --seed {arguments.seed}",
                     "python -m languages.export --data DATA --weights FOLDER"],
        "recipe": {**RECIPE, "weights": WEIGHTS}, "seed": arguments.seed,
        "weights": {f"{name}.onnx": {"sha256": sha256(os.path.join(TARGET, f"{name}.onnx")),
                                     "form": "int8 per channel, folded at load", "bytes": size} for name, size in zip(NAMES, sizes)},
        "results": results,
        "tools": tools("torch", "onnx", "onnxruntime", "numpy"),
    })


if __name__ == "__main__":
    main()
