"""Writes models/glyphs: python -m glyphs.export --weights FOLDER [FOLDER ...] (from models/training).

The first folder ships; further ones, trained with other seeds, are only measured, for the manifest and the card.
Temperatures, evidence, where a width runs, the form of each file: validation only. Test is read once, for the `test`
columns; everything about the shipped seed is computed from the ONNX files that ship. Milliseconds on nodes are filled
in by `npm run models:profile -- glyphs`, on the machine that is to be the reference.
"""
import argparse
import datetime
import json
import os
import tempfile

import numpy as np
import torch
from PIL import Image, features

from common.application import ANYWHERE, folder_of, measure, seed_record, ship, weights_record, write_json
from common.calibration import frontier
from common.costs import stage_costs
from common.export import export_graph
from common.forms import choose_forms
from common.ladder_files import Rung, accuracy, run_ladder
from common.learning import collect_logits
from common.manifest import sha256, tools
from glyphs import data, network
from glyphs.train import RECIPE

WASM_MS = [0.06, 0.15, 0.47, 1.67]  # per width, narrowest first, with folded weights, from `npm run models:profile`
NODE_MS = [0.03, 0.05, 0.09, 0.31]
POINTS_PER_MS = 1.0  # a policy: the edge runs a width that brings this much accuracy for each millisecond it takes there
BUDGETS_MS = [0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5]
RESAMPLES = 2000
TEST_FILES = ["test-images-idx3-ubyte.gz", "test-labels-idx1-ubyte.gz"]


def load(folder: str) -> tuple:
    """The trained network and the seed it was trained with."""
    saved, net = torch.load(os.path.join(folder, "slim.pt"), weights_only=True), network.SlimNet()
    net.load_state_dict(saved["net"])
    return net.eval(), saved["options"]["seed"]


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


def print_cascades(p: list, y: np.ndarray, at_edge: list, names: list) -> None:
    """What a cascade of all widths, and of all but one, gives at a mean time on validation."""
    times = [wasm if edge else node for wasm, node, edge in zip(WASM_MS, NODE_MS, at_edge)]
    print("mean milliseconds     ", BUDGETS_MS)
    for left_out in [None, *range(len(names) - 1)]:
        at = [k for k in range(len(names)) if k != left_out]
        best = frontier([p[k] for k in at], y, list(np.cumsum([times[k] for k in at])), BUDGETS_MS)
        print(f"cascade {'of all' if left_out is None else f'without {names[left_out]}'} %", [round(100 * v, 2) for v in best])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=data.DEFAULT_FOLDER)
    parser.add_argument("--weights", required=True, nargs="+", help="folders glyphs.train wrote to; the first one ships")
    arguments = parser.parse_args()
    data.require_data(arguments.data)
    torch.set_num_threads(1)
    with np.load(os.path.join(arguments.data, data.FILE)) as file:
        about = json.loads(str(file["about"]))
        clean = data.normalise(file["test_clean"]).numpy()
        test_designs = np.array([about["fonts"][i]["design"] for i in file["test_fonts"]])
    (images, y), (test_images, test_y) = (data.read(arguments.data, split) for split in ("validation", "test"))
    x, test_x = data.normalise(images), data.normalise(test_images)
    names = list(network.WIDTHS)
    nets, seeds = zip(*(load(folder) for folder in arguments.weights))
    widths = [network.at_width(nets[0], name) for name in names]
    own = [stage_costs(net, x[:2])[0]["mflops"] for net in widths]
    at_edge = runs_at_edge([accuracy(z, y) for z in collect_logits(nets[0], x)], WASM_MS)
    rungs = [Rung(name, "input", edge) for name, edge in zip(names, at_edge)]

    with tempfile.TemporaryDirectory() as folder:
        plain = [os.path.join(folder, f"{name}.onnx") for name in names]
        for net, path in zip(widths, plain):
            export_graph(torch.nn.Sequential(net.stages[0], net.heads[0]), x[:2], path, ["logits"])
        paths, forms = choose_forms(rungs, plain, ["int8" if edge else "fp32" for edge in at_edge], folder, x.numpy(), y)
        tiers = [ANYWHERE if edge else ["node"] for edge in at_edge]
        measured = measure("glyphs", rungs, paths, own, tiers, forms, (x.numpy(), y), (test_x.numpy(), test_y))
        clean_logits, _ = run_ladder(paths, rungs, clean)
        ship("glyphs", rungs, paths)
    results = {}
    for name, z, clean_z in zip(names, measured.test_logits, clean_logits):
        right = z.argmax(1) == test_y
        results[name] = {"testClean": accuracy(clean_z, test_y), "interval95": {
            "glyphs": round(data.interval(float(right.mean()), len(test_y)), 4), "designs": round(design_interval(right, test_designs), 4)}}
        print(f"{name}: {results[name]}")
    print_cascades(measured.p, y, at_edge, names)
    runs = [seed_record(seeds[0], "as shipped", measured.logits, y, measured.test_logits, test_y)]
    for seed, net in zip(seeds[1:], nets[1:]):
        runs.append(seed_record(seed, "fp32", collect_logits(net, x), y, collect_logits(net, test_x), test_y))
    print("seeds:", runs)

    target = folder_of("glyphs")
    write_json(os.path.join(target, "app.json"), {
        "name": "glyphs", "platform": "vision", "version": "1", "title": "Glyphs (rendered free fonts)",
        "task": "image-classification", "labels": data.LABELS,
        "input": {
            "name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "bytes": 784, "accepts": ["image/png", "image/jpeg"],
            "preprocessing": {"kind": "image", "width": 28, "height": 28, "channels": 1, "mean": [data.MEAN], "std": [data.STD]},
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_y)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": measured.records,
    })
    write_samples(os.path.join(target, "samples"), test_images, test_y)
    split = {}
    for name in data.SPLITS:
        fonts = [font for font in about["fonts"] if font["split"] == name]
        split[name] = {"glyphs": len(fonts) * len(data.CHARACTERS), "fonts": len(fonts), "designs": sorted({f["design"] for f in fonts})}
    write_json(os.path.join(target, "manifest.json"), {
        "application": "glyphs", "made": datetime.date.today().isoformat(),
        "data": {"packages": about["packages"], "sha256": {name: sha256(os.path.join(arguments.data, name)) for name in TEST_FILES}},
        "split": split,
        "commands": ["python -m glyphs.prepare", *(f"python -m glyphs.train --seed {seed} --out FOLDER-{seed}" for seed in seeds),
                     f"python -m glyphs.export --weights {' '.join(f'FOLDER-{seed}' for seed in seeds)}"],
        "recipe": RECIPE, "seed": seeds[0], "results": results, "seeds": runs,
        "weights": weights_record("glyphs", forms),
        "tools": {**tools("torch", "onnx", "onnxruntime", "numpy", "pillow", "fonttools"), "freetype": features.version("freetype2")},
    })


if __name__ == "__main__":
    main()
