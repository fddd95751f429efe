"""Writes models/spam from trained weights: python -m spam.export --data DATA --weights FOLDER (from models/training).

Temperatures, evidence, every choice: validation only. Test is read for the `test` column of app.json and the card.
Everything is computed from the ONNX files that ship, int8 weights included. Measured milliseconds are filled in by
`npm run models:profile -- spam`, on the machine that is to be the reference. With --dry-run nothing is written: for
reporting further seeds.
"""
import argparse
import datetime
import hashlib
import json
import os
import shutil
import tempfile
import time

import numpy as np
import onnxruntime
import torch

from common.calibration import evidence_table, expected_calibration_error, fit_temperature, softmax
from common.costs import stage_costs
from common.export import export_graph
from common.manifest import sha256, tools
from common.quantise import to_int8
from spam import network
from spam.data import BUCKETS, LABELS, SEGMENTS, SPLITS, read_rows, read_split, require_data
from spam.train import RECIPES

SAMPLES_PER_CLASS = 12
NAMES = ["subject", "whole"]
TAKE = {"subject": network.SUBJECT}
TIERS = {"subject": ["device", "edge", "node"], "whole": ["device", "edge", "node"]}
TARGET = os.path.join(os.path.dirname(__file__), "..", "..", "spam")


def load(name: str, folder: str):
    net = getattr(network, name)()
    net.load_state_dict(torch.load(os.path.join(folder, f"{name}.pt"), weights_only=True)["net"])
    return net.eval()


def run_file(path: str, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["logits"], {"x": x[i : i + 500]})[0] for i in range(0, len(x), 500)])


def median_ms(path: str, x: np.ndarray, runs: int = 300) -> float:
    """Milliseconds of one run with one thread, natively: to compare forms of one network, not machines."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        session.run(None, {"x": x})
        times.append(1000 * (time.perf_counter() - started))
    return round(float(np.median(times)), 4)


def accuracy(logits: np.ndarray, y: np.ndarray) -> float:
    return round(float((logits.argmax(1) == y).mean()), 4)


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


def write_json(path: str, value: dict) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def print_cascade(p: list, y: np.ndarray) -> None:
    """What the ladder does by one threshold on validation: who goes on, and how many are right."""
    for threshold in (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98):
        stays = p[0].max(1) >= threshold
        right = np.where(stays, p[0].argmax(1) == y, p[1].argmax(1) == y)
        print(f"threshold {threshold}: {100 * right.mean():.2f} % on validation, {100 * (1 - stays.mean()):.1f} % go on")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder spam.prepare wrote to")
    parser.add_argument("--weights", required=True, help="the folder spam.train wrote to")
    parser.add_argument("--seed", type=int, default=0, help="the seed of that training, for the manifest")
    parser.add_argument("--dry-run", action="store_true", help="print the results and write nothing")
    arguments = parser.parse_args()
    require_data(arguments.data)
    torch.set_num_threads(1)
    splits = {split: read_split(arguments.data, split) for split in SPLITS}
    (x, y), (test_x, test_y) = splits["validation"], splits["test"]
    logits, test_logits, forms, costs = [], [], {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            net, take = load(name, arguments.weights), TAKE.get(name)
            plain, file = os.path.join(folder, f"{name}.plain.onnx"), os.path.join(folder, f"{name}.onnx")
            export_graph(torch.nn.Sequential(net.stages[0], net.heads[0]), x[:2, :take], plain, ["logits"])
            to_int8(plain, file)
            own, test_own = x[:, :take].numpy(), test_x[:, :take].numpy()
            float_logits = run_file(plain, own)
            with torch.no_grad():
                drift = float(np.abs(net(x[:, :take])[0].numpy() - float_logits).max())
            print(f"{name}: file against the network: at most {drift:.1e} in a logit")
            logits.append(run_file(file, own))
            test_logits.append(run_file(file, test_own))
            costs.append(stage_costs(net, x[:2, :take])[0]["mflops"])
            forms[name] = {form: {"bytes": os.path.getsize(path), "validation": accuracy(z, y), "nativeMs": median_ms(path, own[:1])}
                           for form, path, z in (("float", plain, float_logits), ("int8", file, logits[-1]))}
            if not arguments.dry_run:
                os.makedirs(TARGET, exist_ok=True)
                shutil.copyfile(file, os.path.join(TARGET, f"{name}.onnx"))

    temperatures = [fit_temperature(z, y) for z in logits]
    p = [softmax(z / t) for z, t in zip(logits, temperatures)]
    right = np.stack([z.argmax(1) == y for z in logits], 1)
    rungs, results = [], {}
    for k, name in enumerate(NAMES):
        quality = {"validation": accuracy(logits[k], y), "test": accuracy(test_logits[k], test_y)}
        rungs.append({
            "name": name,
            "stage": f"{name}.onnx",
            "resumesFrom": "input",
            **({"take": TAKE[name]} if name in TAKE else {}),
            "tiers": TIERS[name],
            "mflops": {"own": round(costs[k], 6), "cumulative": round(costs[k], 6)},
            "referenceMs": {"edge": 1, "node": 1},  # until measured
            "temperature": round(temperatures[k], 4),
            "quality": quality,
            "evidence": evidence_table(p[k], right),
        })
        results[name] = {**quality, "rates": {"validation": rates(logits[k], y), "test": rates(test_logits[k], test_y)}, "forms": forms[name]}
        errors = [expected_calibration_error(softmax(logits[k]), y), expected_calibration_error(p[k], y)]
        print(f"{name}: validation {100 * quality['validation']:.2f} %, test {100 * quality['test']:.2f} %, {costs[k]:.4f} MFLOPs, "
              f"T {temperatures[k]:.2f}, calibration error {errors[0]:.3f} -> {errors[1]:.3f}, {json.dumps(results[name])}")
    print_cascade(p, y)
    if arguments.dry_run:
        return

    length = sum(size for _, size in SEGMENTS)
    write_json(os.path.join(TARGET, "app.json"), {
        "name": "spam", "platform": "text", "version": "1", "title": "Spam (SpamAssassin corpus)",
        "task": "text-classification", "labels": LABELS,
        "input": {
            "name": "words", "datatype": "UINT16", "shape": [length], "bytes": 2 * length, "accepts": ["text/plain"],
            "preprocessing": {"kind": "tokens", "segments": [{"name": name, "length": size} for name, size in SEGMENTS], "buckets": BUCKETS},
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_y)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": rungs,
    })
    write_samples(os.path.join(TARGET, "samples"), read_rows(arguments.data, "test"))
    with open(os.path.join(arguments.data, "source.json")) as file:
        source = json.load(file)
    write_json(os.path.join(TARGET, "manifest.json"), {
        "application": "spam", "made": datetime.date.today().isoformat(),
        "data": {**source, "licence": "data PDDL 1.0 and CC0 1.0, package Apache-2.0"},
        "split": {"by": "md5 of the thread (subject without Re: and list tags)", **{split: len(splits[split][1]) for split in SPLITS},
                  "spam": {split: int(splits[split][1].sum()) for split in SPLITS}},
        "commands": ["python -m spam.prepare --package PACKAGE --out DATA",
                     *(f"python -m spam.train {name} --data DATA --out FOLDER --seed {arguments.seed}" for name in NAMES),
                     "python -m spam.export --data DATA --weights FOLDER"],
        "recipes": {name: RECIPES[name] for name in NAMES}, "seed": arguments.seed,
        "weights": {f"{name}.onnx": {"sha256": sha256(os.path.join(TARGET, f"{name}.onnx")),
                                     "form": "int8: table rows gathered and scaled; other weights per channel, folded at load"} for name in NAMES},
        "results": results,
        "tools": tools("torch", "onnx", "onnxruntime", "numpy"),
    })


if __name__ == "__main__":
    main()
