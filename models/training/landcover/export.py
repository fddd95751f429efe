"""Writes models/landcover from trained weights: python -m landcover.export --weights FOLDER (from models/training).

Temperatures, evidence and every choice come from validation. Test is read once, for the `test` column of app.json and
the table of seeds; everything about the shipped seed is computed from the ONNX files that ship. The other seeds are
measured as float, are reported in the manifest and do not ship. Milliseconds on nodes are filled in by
`npm run models:profile -- landcover`, on the machine that is to be the reference.
"""
import argparse
import datetime
import json
import os
import tempfile

import numpy as np
import torch

from common.application import ANYWHERE, folder_of, measure, seed_record, ship, weights_record, write_json
from common.calibration import expected_calibration_error, frontier, softmax
from common.costs import stage_costs
from common.export import export_graph, export_stages
from common.forms import choose_forms
from common.ladder_files import Rung, run_ladder
from common.learning import collect_logits
from common.manifest import sha256, tools
from landcover import data, network
from landcover.train import RECIPE

RUNGS = [Rung("e1", "input"), Rung("e2", 0), Rung("e3", 1), Rung("e4", 2)]
NAMES = [rung.name for rung in RUNGS]
SHIPPED_SEED, SEEDS = 0, [0, 1, 2]
BASE = ["fp32", "int8", "int8", "int8"]  # e1 has too few weights to be worth a conversion
SAMPLES_PER_CLASS = 4


def load(folder: str, seed: int):
    net = network.ladder()
    net.load_state_dict(torch.load(os.path.join(folder, f"ladder.{seed}.pt"), weights_only=True)["net"])
    return net.eval()


def export_floats(net, example: torch.Tensor, folder: str) -> list:
    """One float file per stage."""
    network.fold_norms(net)
    paths = [os.path.join(folder, f"{name}.onnx") for name in NAMES]
    export_stages(net, example, paths)
    # Nothing resumes from the last stage: its tensor need not leave the graph.
    with torch.no_grad():
        x = torch.nn.Sequential(*net.stages[:-1])(example)
    export_graph(torch.nn.Sequential(net.stages[-1], net.heads[-1]), x, paths[-1], ["logits"])
    return paths


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
    write_json(os.path.join(folder, "labels.json"), truth)


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

    own = [row["mflops"] for row in stage_costs(load(arguments.weights, SHIPPED_SEED), example)]
    with tempfile.TemporaryDirectory() as folder:
        plain = export_floats(load(arguments.weights, SHIPPED_SEED), example, folder)
        with torch.no_grad():
            torches = load(arguments.weights, SHIPPED_SEED)(x)
        gap = max(float(np.abs(a - b.numpy()).max()) for a, b in zip(run_ladder(plain, RUNGS, x.numpy())[0], torches))
        print(f"files against the network: at most {gap:.1e} in a logit")
        paths, forms = choose_forms(RUNGS, plain, BASE, folder, x.numpy(), y)
        measured = measure("landcover", RUNGS, paths, own, [ANYWHERE] * 4, forms, (x.numpy(), y), (test_x.numpy(), test_y), digits=6)
        ship("landcover", RUNGS, paths)
    seeds = [seed_record(SHIPPED_SEED, "as shipped", measured.logits, y, measured.test_logits, test_y)]
    for seed in SEEDS[1:]:
        net = load(arguments.weights, seed)
        seeds.append(seed_record(seed, "fp32", collect_logits(net, x), y, collect_logits(net, test_x), test_y))
    print("seeds:", seeds)
    p, temperatures = measured.p, measured.temperatures
    budgets = [0.001, 0.02, 0.05, 0.1, 0.2, 0.5, 2.0]
    print("mean MFLOPs", budgets, "-> validation accuracy by one threshold",
          [round(v, 4) for v in frontier(p, y, list(np.cumsum(own)), budgets)])
    print("on validation:")
    describe_calibration(NAMES, measured.logits, temperatures, y)
    print("on test:")
    describe_calibration(NAMES, measured.test_logits, temperatures, test_y)
    compare_evidence(measured.records, [softmax(z / t) for z, t in zip(measured.test_logits, temperatures)],
                     np.stack([z.argmax(1) == test_y for z in measured.test_logits], 1))
    for name, patches, others in (("test", test, np.arange(data.TRAINING)), ("validation", held_out, rows)):
        shared = data.touching(values, patches, others, data.STRAIGHT).mean()
        print(f"{100 * shared:.1f} % of {name} patches share six pixels with a patch of {len(others)} others of the documented training rows")

    target = folder_of("landcover")
    write_json(os.path.join(target, "app.json"), {
        "name": "landcover", "platform": "vision", "version": "1", "title": "Land cover (Statlog Landsat)",
        "task": "tabular-classification", "labels": data.LABELS,
        "input": {
            "name": "patch", "datatype": "UINT8", "shape": [len(data.FEATURES)], "bytes": len(data.FEATURES),
            "accepts": ["application/json"],
            "preprocessing": {"kind": "table", "features": data.FEATURES, "mean": data.MEAN, "std": data.STD},
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_y)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": measured.records,
    })
    write_samples(os.path.join(target, "samples"), values[test], test_y)
    write_json(os.path.join(target, "manifest.json"), {
        "application": "landcover", "made": datetime.date.today().isoformat(),
        "data": {"package": f"{data.PACKAGE} {data.package_version(arguments.data)}",
                 "licence": "package GPL-2; data from the UCI repository, to be cited",
                 "sha256": {data.FILE: sha256(os.path.join(arguments.data, data.FILE))}},
        "split": {"train": len(rows), "validation": len(y), "test": len(test_y), "seed": data.SPLIT_SEED},
        "commands": [*(f"python -m landcover.train --seed {seed} --out FOLDER" for seed in SEEDS),
                     "python -m landcover.export --weights FOLDER", "npm run models:profile -- landcover"],
        "recipe": {**RECIPE, "dropout": network.DROPOUT, "noise": data.NOISE}, "seed": SHIPPED_SEED, "seeds": seeds,
        "weights": weights_record("landcover", forms),
        "tools": tools("torch", "onnx", "onnxruntime", "numpy"),
    })


if __name__ == "__main__":
    main()
