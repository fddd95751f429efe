"""Writes models/clothing from trained weights: python -m clothing.export --weights FOLDER [--other FOLDER] (from models/training).

Temperatures, evidence, the choice of rungs and of the form of each stage: validation only. Test is read once, for the
`test` column of app.json; everything is computed from the ONNX files that ship. Networks of another seed are measured
for the manifest and do not ship. Milliseconds on nodes are filled in by `npm run models:profile -- clothing`, on the
machine that is to be the reference.
"""
import argparse
import datetime
import json
import os
import tempfile

import numpy as np
import torch
from PIL import Image

from clothing import data, network
from clothing.train import RECIPES
from common.application import ANYWHERE, folder_of, measure, seed_record, ship, weights_record, write_json
from common.calibration import fit_temperature, frontier, softmax
from common.costs import stage_costs
from common.export import export_graph, export_stages
from common.forms import choose_forms
from common.ladder_files import Rung
from common.learning import collect_logits
from common.manifest import debian_version, sha256, tools

SAMPLES_PER_CLASS = 3
NAMES = ["e1", "e2", "e3", "e4", "e5", "v"]
# Milliseconds per stage where it would run, from `npm run models:profile` with all six rungs: e1–e5 in WASM, v natively.
STAGE_MS = [0.043, 0.148, 0.329, 1.241, 3.840, 4.994]
BUDGETS_MS = [0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]


def load(name: str, folder: str):
    """The trained network, or None where the folder does not have it."""
    path = os.path.join(folder, f"{name}.pt")
    if not os.path.exists(path):
        return None
    net = getattr(network, name)()
    net.load_state_dict(torch.load(path, weights_only=True)["net"])
    return net.eval()


def write_samples(folder: str, images: np.ndarray, labels: np.ndarray) -> None:
    """The first images of each class in the order of the test set: none was picked by eye or by outcome."""
    os.makedirs(folder, exist_ok=True)
    truth = {}
    for label, name in enumerate(data.LABELS):
        for row in np.flatnonzero(labels == label)[:SAMPLES_PER_CLASS]:
            file = f"{name.replace(' ', '-')}-{row}.png"
            Image.fromarray(images[row, 0]).save(os.path.join(folder, file), optimize=True)
            truth[file] = name
    write_json(os.path.join(folder, "labels.json"), truth)


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


def export_floats(trunk, variant, example: torch.Tensor, kept: list, paths: list) -> None:
    """One float file per rung kept. Nothing resumes from the end of the chain: its tensor need not leave the graph."""
    end = max(k for k in kept if k < 5)
    export_stages(trunk, example, paths[: end + 1])
    with torch.no_grad():
        x = torch.nn.Sequential(*trunk.stages[:end])(example)
    export_graph(torch.nn.Sequential(trunk.stages[end], trunk.heads[end]), x, paths[end], ["logits"])
    export_graph(torch.nn.Sequential(variant.stages[0], variant.heads[0]), example, paths[5], ["logits"])


def rung(k: int, kept: list) -> Rung:
    return Rung(NAMES[k], "input" if k in (0, 5) else kept.index(k - 1), edge=k != 5)


def other_logits(nets: list, kept: list, images: np.ndarray) -> list:
    """Logits of the rungs kept, by the trunk and the variant of another seed."""
    found = [z for net in nets for z in collect_logits(net, data.normalise(images))]
    return [found[k] for k in kept if k < len(found)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=data.DEFAULT_FOLDER)
    parser.add_argument("--weights", required=True, help="the folder clothing.train wrote to with seed 0")
    parser.add_argument("--other", help="the same with seed 1: measured, not shipped")
    arguments = parser.parse_args()
    data.require_data(arguments.data)
    torch.set_num_threads(1)
    trunk, variant = load("trunk", arguments.weights), load("variant", arguments.weights)
    images, labels = data.read_images(arguments.data, "train"), data.read_labels(arguments.data, "train")
    test_images, test_y = data.read_images(arguments.data, "t10k"), data.read_labels(arguments.data, "t10k")
    rows, held_out = data.split(len(images))
    x, y = data.normalise(images[held_out]), labels[held_out]
    example = x[:2]

    with torch.no_grad():
        logits = [z for net in (trunk, variant) for z in collect_logits(net, x)]
    p = [softmax(z / fit_temperature(z, y)) for z in logits]
    kept = [0, 1, 2, 3, 4, 5] if earns_its_place(p, y) else [0, 1, 2, 3, 5]
    rungs = [rung(k, kept) for k in kept]
    print("rungs kept:", [rung.name for rung in rungs])
    own = [row["mflops"] for net in (trunk, variant) for row in stage_costs(net, example)]
    with tempfile.TemporaryDirectory() as folder:
        plain = [os.path.join(folder, f"{name}.onnx") for name in NAMES]
        export_floats(trunk, variant, example, kept, plain)
        base = ["fp32" if k == 5 else "int8" for k in kept]
        paths, forms = choose_forms(rungs, [plain[k] for k in kept], base, folder, x.numpy(), y)
        test = (data.normalise(test_images).numpy(), test_y)
        tiers = [["node"] if k == 5 else ANYWHERE for k in kept]
        measured = measure("clothing", rungs, paths, [own[k] for k in kept], tiers, forms, (x.numpy(), y), test)
        ship("clothing", rungs, paths)
    seeds = [seed_record(0, "as shipped", measured.logits, y, measured.test_logits, test_y)]
    others = [load(name, arguments.other) for name in RECIPES] if arguments.other else []
    if any(others):
        nets = [net for net in others if net]
        seeds.append(seed_record(1, "fp32", other_logits(nets, kept, images[held_out]), y, other_logits(nets, kept, test_images), test_y))
    print("seeds:", json.dumps(seeds))

    target = folder_of("clothing")
    write_json(os.path.join(target, "app.json"), {
        "name": "clothing", "platform": "vision", "version": "1", "title": "Clothing (Fashion-MNIST)",
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
    write_json(os.path.join(target, "manifest.json"), {
        "application": "clothing", "made": datetime.date.today().isoformat(),
        "data": {"package": f"{data.PACKAGE} {debian_version(data.PACKAGE)}", "licence": "MIT",
                 "sha256": {name: sha256(os.path.join(arguments.data, name)) for name in data.FILES}},
        "split": {"train": len(rows), "validation": len(y), "test": len(test_y), "seed": data.SPLIT_SEED},
        "commands": [*(f"python -m clothing.train {name} --seed {run['seed']} --out FOLDER-{run['seed']}" for run in seeds for name in RECIPES),
                     "python -m clothing.export --weights FOLDER-0" + (" --other FOLDER-1" if len(seeds) > 1 else "")],
        "recipes": RECIPES, "seed": 0, "seeds": seeds,
        "weights": weights_record("clothing", forms),
        "tools": tools("torch", "onnx", "onnxruntime", "numpy", "pillow"),
    })


if __name__ == "__main__":
    main()
