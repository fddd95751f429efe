"""Writes models/clothing from trained weights: python -m clothing.export --weights FOLDER (from models/training).

Temperatures, evidence, the choice of rungs: validation only. Test is read once, for the `test` column of app.json.
Everything is computed from the ONNX files that ship, int8 weights included. Measured milliseconds are filled in by
`npm run models:profile -- clothing`, on the machine that is to be the reference.
"""
import argparse
import datetime
import json
import os
import tempfile

import numpy as np
import onnxruntime
import torch
from PIL import Image

from clothing import data, network
from clothing.train import RECIPES
from common.calibration import evidence_table, expected_calibration_error, fit_temperature, frontier, softmax
from common.costs import stage_costs
from common.export import export_graph, export_stages
from common.manifest import debian_version, sha256, tools
from common.packing import packed_bytes
from common.quantise import to_int8

SAMPLES_PER_CLASS = 3
# Milliseconds per stage where it would run, from `npm run models:profile` with all six rungs: e1–e5 in WASM, v natively.
STAGE_MS = [0.043, 0.148, 0.329, 1.241, 3.840, 4.994]
BUDGETS_MS = [0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
TARGET = os.path.join(os.path.dirname(__file__), "..", "..", "clothing")


def load(name: str, folder: str):
    net = getattr(network, name)()
    net.load_state_dict(torch.load(os.path.join(folder, f"{name}.pt"), weights_only=True)["net"])
    return net.eval()


def run_files(paths: list, resumes: list, x: np.ndarray) -> tuple:
    """Runs stage files in sequence; returns logits and features per rung."""
    sessions = [onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in paths]
    logits, features = [[] for _ in paths], [[] for _ in paths]
    for first in range(0, len(x), 500):
        cuts = []
        for k, session in enumerate(sessions):
            source = x[first : first + 500] if resumes[k] == "input" else cuts[resumes[k]]
            outputs = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": source})))
            cuts.append(outputs.get("feat"))
            logits[k].append(outputs["logits"])
            if first == 0 and "feat" in outputs:
                features[k] = outputs["feat"][:150]
    return [np.concatenate(parts) for parts in logits], features


def write_samples(folder: str, images: np.ndarray, labels: np.ndarray) -> None:
    """The first images of each class in the order of the test set: none was picked by eye or by outcome."""
    os.makedirs(folder, exist_ok=True)
    truth = {}
    for label, name in enumerate(data.LABELS):
        for row in np.flatnonzero(labels == label)[:SAMPLES_PER_CLASS]:
            file = f"{name.replace(' ', '-')}-{row}.png"
            Image.fromarray(images[row, 0]).save(os.path.join(folder, file), optimize=True)
            truth[file] = name
    with open(os.path.join(folder, "labels.json"), "w") as file:
        json.dump(truth, file, indent=2)
        file.write("\n")


def earns_its_place(p: list, y: np.ndarray) -> bool:
    """Is exit 5 worth its time at the edge? Yes if with it some mean time buys 0.1 points more on validation, and none loses as much.

    Measured time decides, not arithmetic: the edge runs a multiply-accumulate several times slower than a node.
    """
    with_exit = frontier(p, y, list(np.cumsum(STAGE_MS)), BUDGETS_MS)
    without = frontier(p[:4] + p[5:], y, list(np.cumsum(STAGE_MS[:4] + STAGE_MS[5:])), BUDGETS_MS)
    print("mean milliseconds  ", BUDGETS_MS)
    print("with exit 5     %  ", [round(100 * v, 2) for v in with_exit])
    print("without exit 5  %  ", [round(100 * v, 2) for v in without])
    gains = np.subtract(with_exit, without)
    return bool(np.nanmax(gains) > 0.001 and np.nanmin(gains) > -0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=data.DEFAULT_FOLDER)
    parser.add_argument("--weights", required=True, help="the folder clothing.train wrote to")
    arguments = parser.parse_args()
    data.require_data(arguments.data)
    trunk, variant = load("trunk", arguments.weights), load("variant", arguments.weights)
    images, labels = data.read_images(arguments.data, "train"), data.read_labels(arguments.data, "train")
    test_images, test_labels = data.read_images(arguments.data, "t10k"), data.read_labels(arguments.data, "t10k")
    rows, held_out = data.split(len(images))
    y = labels[held_out]
    example = data.normalise(images[held_out[:2]])

    names = ["e1", "e2", "e3", "e4", "e5", "v"]
    with tempfile.TemporaryDirectory() as folder:
        plain = [os.path.join(folder, f"{name}.plain.onnx") for name in names]
        files = [os.path.join(folder, f"{name}.onnx") for name in names]
        export_stages(trunk, example, plain[:5])
        export_graph(torch.nn.Sequential(variant.stages[0], variant.heads[0]), example, files[5], ["logits"])
        for source, target in zip(plain[:5], files[:5]):
            to_int8(source, target)
        resumes = ["input", 0, 1, 2, 3, "input"]
        val_logits, features = run_files(files, resumes, data.normalise(images[held_out]).numpy())
        test_logits, _ = run_files(files, resumes, data.normalise(test_images).numpy())
        own = [row["mflops"] for row in stage_costs(trunk, example)] + [stage_costs(variant, example)[0]["mflops"]]
        shapes = [row["shape"] for row in stage_costs(trunk, example)]
        temperatures = [fit_temperature(z, y) for z in val_logits]
        p = [softmax(z / t) for z, t in zip(val_logits, temperatures)]
        keep = [0, 1, 2, 3, 4, 5] if earns_its_place(p, y) else [0, 1, 2, 3, 5]
        print("rungs kept:", [names[k] for k in keep])

        right = np.stack([p[k].argmax(1) == y for k in keep], 1)
        rungs = []
        for at, k in enumerate(keep):
            last = k == 5 or (k == 3 and 4 not in keep) or k == 4
            test_right = test_logits[k].argmax(1) == test_labels
            rungs.append({
                "name": names[k],
                "stage": f"{names[k]}.onnx",
                "resumesFrom": "input" if resumes[k] == "input" else at - 1,
                "tiers": ["node"] if k == 5 else ["device", "edge", "node"],
                "mflops": {"own": round(own[k], 3), "cumulative": round(own[k] if k == 5 else sum(own[: k + 1]), 3)},
                "referenceMs": {"edge": 1, "node": 1},  # until measured
                **({} if last else {"cut": {"shape": shapes[k], "bytes": {
                    "f32": int(np.prod(shapes[k])) * 4, "u8": packed_bytes(features[k], 8), "u4": packed_bytes(features[k], 4)}}}),
                "temperature": round(temperatures[k], 4),
                "quality": {"validation": round(float(right[:, at].mean()), 4), "test": round(float(test_right.mean()), 4)},
                "evidence": evidence_table(p[k], right),
            })
            print(f"{names[k]}: validation {100 * rungs[-1]['quality']['validation']:.2f} %, test {100 * rungs[-1]['quality']['test']:.2f} %, "
                  f"{rungs[-1]['mflops']['cumulative']} MFLOPs, T {temperatures[k]:.2f}, calibration error on validation "
                  f"{expected_calibration_error(softmax(val_logits[k]), y):.3f} -> {expected_calibration_error(p[k], y):.3f}")
        # Nothing resumes from the end of the chain: its tensor need not leave the graph.
        end = keep[-2]
        with torch.no_grad():
            x = torch.nn.Sequential(*trunk.stages[:end])(example)
        export_graph(torch.nn.Sequential(trunk.stages[end], trunk.heads[end]), x, plain[end], ["logits"])
        to_int8(plain[end], files[end])
        os.makedirs(TARGET, exist_ok=True)
        for k in keep:
            with open(files[k], "rb") as source, open(os.path.join(TARGET, f"{names[k]}.onnx"), "wb") as target:
                target.write(source.read())

    application = {
        "name": "clothing", "platform": "vision", "version": "1", "title": "Clothing (Fashion-MNIST)",
        "task": "image-classification", "labels": data.LABELS,
        "input": {
            "name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "bytes": 784, "accepts": ["image/png", "image/jpeg"],
            "preprocessing": {"kind": "image", "width": 28, "height": 28, "channels": 1, "mean": [data.MEAN], "std": [data.STD]},
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_labels)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": rungs,
    }
    with open(os.path.join(TARGET, "app.json"), "w") as file:
        json.dump(application, file, indent=2)
        file.write("\n")
    write_samples(os.path.join(TARGET, "samples"), test_images, test_labels)
    manifest = {
        "application": "clothing", "made": datetime.date.today().isoformat(),
        "data": {"package": f"{data.PACKAGE} {debian_version(data.PACKAGE)}", "licence": "MIT",
                 "sha256": {name: sha256(os.path.join(arguments.data, name)) for name in data.FILES}},
        "split": {"train": len(rows), "validation": len(y), "test": len(test_labels), "seed": data.SPLIT_SEED},
        "commands": ["python -m clothing.train trunk --out FOLDER", "python -m clothing.train variant --out FOLDER",
                     "python -m clothing.export --weights FOLDER"],
        "recipes": RECIPES, "seed": 0,
        "weights": {f"{names[k]}.onnx": {"sha256": sha256(os.path.join(TARGET, f"{names[k]}.onnx")),
                                         "form": "fp32" if k == 5 else "int8 per channel, folded at load"} for k in keep},
        "tools": tools("torch", "onnx", "onnxruntime", "numpy", "pillow"),
    }
    with open(os.path.join(TARGET, "manifest.json"), "w") as file:
        json.dump(manifest, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
