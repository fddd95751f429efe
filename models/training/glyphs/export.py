"""Writes models/glyphs: python -m glyphs.export --weights FOLDER [FOLDER ...] (from models/training).

The first folder ships; further ones, trained with other seeds, are only measured, for the manifest and the card.
Temperatures, evidence, where a width runs: validation only. Test is read once, for the `test` columns. Everything about
the shipped seed is computed from the ONNX files that ship, int8 weights included. Measured milliseconds are filled in by
`npm run models:profile -- glyphs`, on the machine that is to be the reference.
"""
import argparse
import datetime
import json
import os
import tempfile

import numpy as np
import onnxruntime
import torch
from PIL import Image, features

from common.calibration import evidence_table, expected_calibration_error, fit_temperature, frontier, softmax
from common.costs import stage_costs
from common.export import export_graph
from common.learning import collect_logits
from common.manifest import sha256, tools
from common.quantise import to_int8
from glyphs import data, network
from glyphs.train import RECIPE

WASM_MS = [0.06, 0.15, 0.47, 1.67]  # per width, narrowest first, from `npm run models:profile`
NODE_MS = [0.03, 0.05, 0.09, 0.31]
POINTS_PER_MS = 1.0  # a policy: the edge runs a width that brings this much accuracy for each millisecond it takes there
BUDGETS_MS = [0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5]
RESAMPLES = 2000
TARGET = os.path.join(os.path.dirname(__file__), "..", "..", "glyphs")
TEST_FILES = ["test-images-idx3-ubyte.gz", "test-labels-idx1-ubyte.gz"]


def load(folder: str) -> tuple:
    """The trained network and the seed it was trained with."""
    saved, net = torch.load(os.path.join(folder, "slim.pt"), weights_only=True), network.SlimNet()
    net.load_state_dict(saved["net"])
    return net.eval(), saved["options"]["seed"]


def run_file(path: str, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": part.numpy()})[0] for part in data.normalise(images).split(500)])


def runs_at_edge(accuracy: list, wasm_ms: list) -> list:
    """For each width, whether it brings POINTS_PER_MS over the widest narrower one that runs there; the narrowest always does."""
    kept = [0]
    for k in range(1, len(accuracy)):
        if 100 * (accuracy[k] - accuracy[kept[-1]]) >= POINTS_PER_MS * wasm_ms[k]:
            kept.append(k)
    return [k in kept for k in range(len(accuracy))]


def design_interval(right: np.ndarray, designs: np.ndarray) -> float:
    """Half the 95 % interval of the mean when whole designs are drawn again: glyphs of one typeface are not independent."""
    names, which = np.unique(designs, return_inverse=True)
    hits, counts = np.bincount(which, right), np.bincount(which)
    rows = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
    low, high = np.quantile(hits[rows].sum(1) / counts[rows].sum(1), [0.025, 0.975])
    return float(high - low) / 2


def write_samples(folder: str, images: np.ndarray, labels: np.ndarray) -> None:
    """The first image of each class in the order of the test set: none was picked by eye or by outcome."""
    os.makedirs(folder, exist_ok=True)
    truth = {}
    for label, name in enumerate(data.LABELS):
        row = int(np.flatnonzero(labels == label)[0])
        kind = "digit" if name.isdigit() else "upper" if name.isupper() else "lower"
        file = f"{kind}-{name.lower()}-{row}.png"
        Image.fromarray(images[row, 0]).save(os.path.join(folder, file), optimize=True)
        truth[file] = name
    write_json(os.path.join(folder, "labels.json"), truth)


def write_json(path: str, value: dict) -> None:
    with open(path, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=data.DEFAULT_FOLDER)
    parser.add_argument("--weights", required=True, nargs="+", help="folders glyphs.train wrote to; the first one ships")
    arguments = parser.parse_args()
    data.require_data(arguments.data)
    with np.load(os.path.join(arguments.data, data.FILE)) as file:
        about = json.loads(str(file["about"]))
        clean = file["test_clean"]
        test_designs = np.array([about["fonts"][i]["design"] for i in file["test_fonts"]])
    (images, y), (test_images, test_y) = (data.read(arguments.data, split) for split in ("validation", "test"))
    names = list(network.WIDTHS)
    nets, seeds = zip(*(load(folder) for folder in arguments.weights))
    example = data.normalise(images[:2])
    plain = [network.at_width(nets[0], name) for name in names]
    own = [stage_costs(net, example)[0]["mflops"] for net in plain]

    os.makedirs(TARGET, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        forms = {form: [os.path.join(folder, f"{name}.{form}.onnx") for name in names] for form in ("fp32", "int8")}
        for k, net in enumerate(plain):
            export_graph(torch.nn.Sequential(net.stages[0], net.heads[0]), example, forms["fp32"][k], ["logits"])
            to_int8(forms["fp32"][k], forms["int8"][k])
        by_form = {form: [run_file(path, images) for path in paths] for form, paths in forms.items()}
        accuracy = {form: [float((z.argmax(1) == y).mean()) for z in logits] for form, logits in by_form.items()}
        at_edge = runs_at_edge(accuracy["int8"], WASM_MS)
        chosen = ["int8" if edge else "fp32" for edge in at_edge]
        for k, name in enumerate(names):
            with open(forms[chosen[k]][k], "rb") as source, open(os.path.join(TARGET, f"{name}.onnx"), "wb") as target:
                target.write(source.read())
    files = [os.path.join(TARGET, f"{name}.onnx") for name in names]
    logits = [by_form[form][k] for k, form in enumerate(chosen)]
    temperatures = [fit_temperature(z, y) for z in logits]
    p = [softmax(z / t) for z, t in zip(logits, temperatures)]
    right = np.stack([q.argmax(1) == y for q in p], 1)
    test_right = np.stack([run_file(path, test_images).argmax(1) == test_y for path in files], 1)
    clean_right = np.stack([run_file(path, clean).argmax(1) == test_y for path in files], 1)

    rungs, results = [], {}
    for k, name in enumerate(names):
        rungs.append({
            "name": name,
            "stage": f"{name}.onnx",
            "resumesFrom": "input",
            "tiers": ["device", "edge", "node"] if at_edge[k] else ["node"],
            "mflops": {"own": round(own[k], 3), "cumulative": round(own[k], 3)},
            "referenceMs": {"edge": 1, "node": 1},  # until measured
            "temperature": round(temperatures[k], 4),
            "quality": {"validation": round(float(right[:, k].mean()), 4), "test": round(float(test_right[:, k].mean()), 4)},
            "evidence": evidence_table(p[k], right),
        })
        share = float(test_right[:, k].mean())
        results[name] = {
            "validation": {form: round(accuracy[form][k], 4) for form in ("fp32", "int8")},
            "test": round(share, 4), "testClean": round(float(clean_right[:, k].mean()), 4),
            "interval95": {"glyphs": round(data.interval(share, len(test_y)), 4),
                           "designs": round(design_interval(test_right[:, k], test_designs), 4)},
        }
        print(f"{name}: {results[name]}, {own[k]:.2f} MFLOPs, T {temperatures[k]:.2f}, calibration error on validation "
              f"{expected_calibration_error(softmax(logits[k]), y):.3f} -> {expected_calibration_error(p[k], y):.3f}")
    times = [wasm if edge else node for wasm, node, edge in zip(WASM_MS, NODE_MS, at_edge)]
    print("mean milliseconds     ", BUDGETS_MS)
    for left_out in [None, *range(len(names) - 1)]:
        at = [k for k in range(len(names)) if k != left_out]
        best = frontier([p[k] for k in at], y, list(np.cumsum([times[k] for k in at])), BUDGETS_MS)
        print(f"cascade {'of all' if left_out is None else f'without {names[left_out]}'} %", [round(100 * v, 2) for v in best])
    runs = [{"seed": seeds[0], "validation": [r["quality"]["validation"] for r in rungs], "test": [r["quality"]["test"] for r in rungs]}]
    for seed, net in zip(seeds[1:], nets[1:]):
        shares = [[round(float((z.argmax(1) == truth).mean()), 4) for z in collect_logits(net, data.normalise(x))]
                  for x, truth in ((images, y), (test_images, test_y))]
        runs.append({"seed": seed, "validation": shares[0], "test": shares[1]})
        print(runs[-1])

    write_json(os.path.join(TARGET, "app.json"), {
        "name": "glyphs", "platform": "vision", "version": "1", "title": "Glyphs (rendered free fonts)",
        "task": "image-classification", "labels": data.LABELS,
        "input": {
            "name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "bytes": 784, "accepts": ["image/png", "image/jpeg"],
            "preprocessing": {"kind": "image", "width": 28, "height": 28, "channels": 1, "mean": [data.MEAN], "std": [data.STD]},
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_y)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": rungs,
    })
    write_samples(os.path.join(TARGET, "samples"), test_images, test_y)
    split = {}
    for name in data.SPLITS:
        fonts = [font for font in about["fonts"] if font["split"] == name]
        split[name] = {"glyphs": len(fonts) * len(data.CHARACTERS), "fonts": len(fonts), "designs": sorted({f["design"] for f in fonts})}
    write_json(os.path.join(TARGET, "manifest.json"), {
        "application": "glyphs", "made": datetime.date.today().isoformat(),
        "data": {"packages": about["packages"], "sha256": {name: sha256(os.path.join(arguments.data, name)) for name in TEST_FILES}},
        "split": split,
        "commands": ["python -m glyphs.prepare", *(f"python -m glyphs.train --seed {seed} --out FOLDER-{seed}" for seed in seeds),
                     f"python -m glyphs.export --weights {' '.join(f'FOLDER-{seed}' for seed in seeds)}"],
        "recipe": RECIPE, "seed": seeds[0], "results": results, "runs": runs,
        "weights": {f"{name}.onnx": {"sha256": sha256(path), "form": "int8 per channel, folded at load" if form == "int8" else form}
                    for name, path, form in zip(names, files, chosen)},
        "tools": {**tools("torch", "onnx", "onnxruntime", "numpy", "pillow", "fonttools"), "freetype": features.version("freetype2")},
    })


if __name__ == "__main__":
    main()
