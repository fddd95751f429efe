"""Writes models/landcover from trained weights: python -m landcover.export --weights FOLDER (from models/training).

Temperatures, evidence and every choice come from validation. Test is read once, for the `test` column of app.json and
the table of seeds. Everything is computed from the ONNX files that ship, int8 weights included; the other seeds go
through the same conversion, are reported in the manifest and do not ship. Measured milliseconds are filled in by
`npm run models:profile -- landcover`, on the machine that is to be the reference.
"""
import argparse
import datetime
import json
import os
import tempfile

import numpy as np
import onnxruntime
import torch

from common.calibration import evidence_table, expected_calibration_error, fit_temperature, frontier, softmax
from common.costs import stage_costs
from common.export import export_graph, export_stages
from common.manifest import sha256, tools
from common.packing import packed_bytes
from common.quantise import to_int8
from landcover import data, network
from landcover.train import RECIPE

NAMES = ["e1", "e2", "e3", "e4"]
SHIPPED_SEED, SEEDS = 0, [0, 1, 2]
FLOAT_STAGES = ["e1"]  # too few weights to be worth a conversion
SAMPLES_PER_CLASS = 4
TARGET = os.path.join(os.path.dirname(__file__), "..", "..", "landcover")


def load(folder: str, seed: int):
    net = network.ladder()
    net.load_state_dict(torch.load(os.path.join(folder, f"ladder.{seed}.pt"), weights_only=True)["net"])
    return net.eval()


def write_stages(net, example: torch.Tensor, folder: str) -> dict:
    """One file per stage in float and, where it is worth it, int8; returns the paths of both forms."""
    os.makedirs(folder, exist_ok=True)
    network.fold_norms(net)
    plain = [os.path.join(folder, f"{name}.plain.onnx") for name in NAMES]
    files = [os.path.join(folder, f"{name}.onnx") for name in NAMES]
    export_stages(net, example, plain)
    # Nothing resumes from the last stage: its tensor need not leave the graph.
    with torch.no_grad():
        x = torch.nn.Sequential(*net.stages[:-1])(example)
    export_graph(torch.nn.Sequential(net.stages[-1], net.heads[-1]), x, plain[-1], ["logits"])
    for name, source, target in zip(NAMES, plain, files):
        if name in FLOAT_STAGES:
            os.replace(source, target)
        else:
            to_int8(source, target)
    plain = [target if name in FLOAT_STAGES else source for name, source, target in zip(NAMES, plain, files)]
    return {"float": plain, "shipped": files}


def run_files(paths: list, x: np.ndarray) -> tuple:
    """Runs stage files in sequence; returns logits per rung, and the tensor at each cut."""
    logits, cuts = [], []
    for path in paths:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        outputs = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": x})))
        logits.append(outputs["logits"])
        x = outputs.get("feat")
        cuts.append(x)
    return logits, cuts


def accuracies(logits: list, y: np.ndarray) -> list:
    return [round(float((z.argmax(1) == y).mean()), 4) for z in logits]


def write_samples(folder: str, values: np.ndarray, labels: np.ndarray) -> None:
    """The first patches of each class in the order of the test rows: none was picked by eye or by outcome."""
    os.makedirs(folder, exist_ok=True)
    truth = {}
    for label, name in enumerate(data.LABELS):
        for row in np.flatnonzero(labels == label)[:SAMPLES_PER_CLASS]:
            file = f"{name.replace(' ', '-')}-{row}.json"
            with open(os.path.join(folder, file), "w") as out:
                out.write(json.dumps(values[row].tolist()) + "\n")
            truth[file] = name
    with open(os.path.join(folder, "labels.json"), "w") as out:
        json.dump(truth, out, indent=2)
        out.write("\n")


def describe_calibration(names: list, logits: list, temperatures: list, y: np.ndarray) -> None:
    for name, z, t in zip(names, logits, temperatures):
        raw, fitted = softmax(z), softmax(z / t)
        print(f"  {name}: T {t:.2f}, calibration error {expected_calibration_error(raw, y):.3f} -> {expected_calibration_error(fitted, y):.3f}")


def compare_evidence(rungs: list, test_p: list, test_right: np.ndarray) -> None:
    """How far the tables, counted on validation, are from the test rows; a reading, nothing is chosen by it."""
    gaps = []
    for k, rung in enumerate(rungs):
        for row in rung["evidence"]:
            confidence = test_p[k].max(1)
            inside = (confidence > row["from"]) & (confidence <= row["to"])
            found = [round(float(v), 3) for v in test_right[inside].mean(0)]
            gaps += [abs(a - b) for a, b in zip(row["right"], found)]
            print(f"  {rung['name']} ({row['from']}, {row['to']}]: {row['count']} validation {row['right']}, {inside.sum()} test {found}")
    print(f"  {len(gaps)} entries, off by {np.mean(gaps):.3f} on average and by {max(gaps):.3f} at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=data.DEFAULT_FOLDER)
    parser.add_argument("--weights", required=True, help="the folder landcover.train wrote to, seeds 0, 1 and 2")
    arguments = parser.parse_args()
    data.require_data(arguments.data)
    torch.set_num_threads(1)
    values, labels = data.read(arguments.data)
    rows, held_out, test = data.split()
    y, test_y = labels[held_out], labels[test]
    x, test_x = data.normalise(values[held_out]), data.normalise(values[test])
    example = x[:2]

    with tempfile.TemporaryDirectory() as folder:
        seeds = {}
        for seed in SEEDS:
            files = write_stages(load(arguments.weights, seed), example, os.path.join(folder, str(seed)))
            of_float, _ = run_files(files["float"], x.numpy())
            of_shipped, cuts = run_files(files["shipped"], x.numpy())
            of_test, _ = run_files(files["shipped"], test_x.numpy())
            with torch.no_grad():
                gap = max(float(np.abs(a - b.numpy()).max()) for a, b in zip(of_float, load(arguments.weights, seed)(x)))
            seeds[seed] = {"validation": accuracies(of_shipped, y), "validation, float weights": accuracies(of_float, y),
                           "test": accuracies(of_test, test_y)}
            print(f"seed {seed}: {seeds[seed]}; float files differ from torch by at most {gap:.1e}")
            if seed == SHIPPED_SEED:
                shipped, val_logits, test_logits, features = files["shipped"], of_shipped, of_test, cuts
        os.makedirs(TARGET, exist_ok=True)
        for name, path in zip(NAMES, shipped):
            with open(path, "rb") as source, open(os.path.join(TARGET, f"{name}.onnx"), "wb") as target:
                target.write(source.read())

    costs = stage_costs(load(arguments.weights, SHIPPED_SEED), example)
    own, shapes = [row["mflops"] for row in costs], [row["shape"] for row in costs]
    temperatures = [fit_temperature(z, y) for z in val_logits]
    p = [softmax(z / t) for z, t in zip(val_logits, temperatures)]
    right = np.stack([z.argmax(1) == y for z in val_logits], 1)
    rungs = []
    for k, name in enumerate(NAMES):
        rungs.append({
            "name": name,
            "stage": f"{name}.onnx",
            "resumesFrom": "input" if k == 0 else k - 1,
            "tiers": ["device", "edge", "node"],
            "mflops": {"own": round(own[k], 6), "cumulative": round(sum(own[: k + 1]), 6)},
            "referenceMs": {"edge": 1, "node": 1},  # until measured
            **({"cut": {"shape": shapes[k], "bytes": {
                "f32": int(np.prod(shapes[k])) * 4, "u8": packed_bytes(features[k], 8), "u4": packed_bytes(features[k], 4)}}}
               if k + 1 < len(NAMES) else {}),
            "temperature": round(temperatures[k], 4),
            "quality": {split: seeds[SHIPPED_SEED][split][k] for split in ("validation", "test")},
            "evidence": evidence_table(p[k], right),
        })
        print(f"{name}: {rungs[-1]['quality']}, {rungs[-1]['mflops']['cumulative']} MFLOPs")
    budgets = [0.001, 0.02, 0.05, 0.1, 0.2, 0.5, 2.0]
    print("mean MFLOPs", budgets, "-> validation accuracy by one threshold",
          [round(v, 4) for v in frontier(p, y, list(np.cumsum(own)), budgets)])
    print("on validation:")
    describe_calibration(NAMES, val_logits, temperatures, y)
    print("on test:")
    describe_calibration(NAMES, test_logits, temperatures, test_y)
    compare_evidence(rungs, [softmax(z / t) for z, t in zip(test_logits, temperatures)],
                     np.stack([z.argmax(1) == test_y for z in test_logits], 1))
    shared = data.touching(values, test, np.arange(data.TRAINING), data.STRAIGHT).mean()
    print(f"{100 * shared:.1f} % of test patches share six pixels with one of the documented training rows")

    application = {
        "name": "landcover", "platform": "vision", "version": "1", "title": "Land cover (Statlog Landsat)",
        "task": "tabular-classification", "labels": data.LABELS,
        "input": {
            "name": "patch", "datatype": "UINT8", "shape": [len(data.FEATURES)], "bytes": len(data.FEATURES),
            "accepts": ["application/json"],
            "preprocessing": {"kind": "table", "features": data.FEATURES, "mean": data.MEAN, "std": data.STD},
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_y)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": rungs,
    }
    with open(os.path.join(TARGET, "app.json"), "w") as file:
        json.dump(application, file, indent=2)
        file.write("\n")
    write_samples(os.path.join(TARGET, "samples"), values[test], test_y)
    manifest = {
        "application": "landcover", "made": datetime.date.today().isoformat(),
        "data": {"package": f"{data.PACKAGE} {data.package_version(arguments.data)}",
                 "licence": "package GPL-2; data from the UCI repository, to be cited",
                 "sha256": {data.FILE: sha256(os.path.join(arguments.data, data.FILE))}},
        "split": {"train": len(rows), "validation": len(y), "test": len(test_y), "seed": data.SPLIT_SEED},
        "commands": [*(f"python -m landcover.train --seed {seed} --out FOLDER" for seed in SEEDS),
                     "python -m landcover.export --weights FOLDER", "npm run models:profile -- landcover"],
        "recipe": {**RECIPE, "dropout": network.DROPOUT, "noise": data.NOISE}, "seed": SHIPPED_SEED,
        "accuracy by seed": {str(seed): result for seed, result in seeds.items()},
        "weights": {f"{name}.onnx": {"sha256": sha256(os.path.join(TARGET, f"{name}.onnx")),
                                     "form": "fp32" if name in FLOAT_STAGES else "int8 per channel, folded at load"} for name in NAMES},
        "tools": tools("torch", "onnx", "onnxruntime", "numpy"),
    }
    with open(os.path.join(TARGET, "manifest.json"), "w") as file:
        json.dump(manifest, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
