"""Writes models/topics from trained weights: python -m topics.export --data DATA --weights FOLDER (from models/training).

Temperatures, evidence, the choice of rungs: validation only. Test is read for the `test` column of app.json and the card.
Everything is computed from the ONNX files that ship, int8 weights included. Measured milliseconds are filled in by
`npm run models:profile -- topics`, on the machine that is to be the reference. With --dry-run nothing is written: for
reporting further seeds.
"""
import argparse
import datetime
import hashlib
import json
import os
import shutil
import tempfile

import numpy as np
import onnxruntime
import torch
import torch.nn as nn

from common.calibration import evidence_table, expected_calibration_error, fit_temperature, frontier, softmax
from common.costs import count_macs, stage_costs
from common.export import StageWithHead, export_graph
from common.manifest import sha256, tools
from common.packing import packed_bytes
from common.quantise import to_int8
from topics.data import BUCKETS, PAIR_BUCKETS, SEGMENTS, SPLITS, read_rows, read_source, read_split, require_data
from topics.network import topics
from topics.train import BAG_HEADS, RECIPE, WEIGHTS

NAMES = ["e1", "e2", "e3", "e4"]
# Every rung but the last works on the tensor of the first; with e3 left out its stage is part of e4's.
RESUMES = {"e1": "input", "e2": "e1", "e3": "e1", "e4": "e3"}
TIERS = {"e1": ["device", "edge", "node"], "e2": ["device", "edge", "node"], "e3": ["edge", "node"], "e4": ["edge", "node"]}
# Milliseconds per stage in WASM, from `npm run models:profile -- topics` with all four rungs.
STAGE_MS = {"e1": 0.053, "e2": 0.037, "e3": 0.319, "e4": 1.615}
BUDGETS_MS = [0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5]
TARGET = os.path.join(os.path.dirname(__file__), "..", "..", "topics")


def load(folder: str, classes: int):
    net = topics(classes)
    net.load_state_dict(torch.load(os.path.join(folder, "topics.pt"), weights_only=True)["net"])
    return net.eval()


def export_files(net, example: torch.Tensor, kept: list, path_of) -> None:
    """One file per rung. Where nothing resumes, the tensor does not leave the graph."""
    embedding, _, convolution, transformer = net.stages
    with torch.no_grad():
        words = embedding(example)
        wide = convolution(words)
    export_graph(StageWithHead(embedding, net.heads[0]), example, path_of("e1"), ["feat", "logits"])
    export_graph(net.heads[1], words, path_of("e2"), ["logits"])
    if "e3" in kept:
        export_graph(StageWithHead(convolution, net.heads[2]), words, path_of("e3"), ["feat", "logits"])
        export_graph(nn.Sequential(transformer, net.heads[3]), wide, path_of("e4"), ["logits"])
    else:
        export_graph(nn.Sequential(convolution, transformer, net.heads[3]), words, path_of("e4"), ["logits"])


def resumes_from(name: str, kept: list) -> str:
    return "e1" if name == "e4" and "e3" not in kept else RESUMES[name]


def run_files(path_of, kept: list, x: np.ndarray) -> tuple:
    """Logits per rung, and the tensors of the first samples at each cut."""
    sessions = {name: onnxruntime.InferenceSession(path_of(name), providers=["CPUExecutionProvider"]) for name in kept}
    logits, features = {name: [] for name in kept}, {}
    for first in range(0, len(x), 500):
        held = {"input": x[first : first + 500]}
        for name, session in sessions.items():
            outputs = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": held[resumes_from(name, kept)]})))
            logits[name].append(outputs["logits"])
            if "feat" in outputs:
                held[name] = outputs["feat"]
                features.setdefault(name, outputs["feat"][:150])
    return {name: np.concatenate(parts) for name, parts in logits.items()}, features


def accuracy(logits: np.ndarray, y: np.ndarray) -> float:
    return round(float((logits.argmax(1) == y).mean()), 4)


def rungs_kept(logits: dict, y: np.ndarray) -> list:
    """Drops e3 unless with it some mean time buys 0.1 points more on validation, and none loses as much."""
    p = {name: softmax(z / fit_temperature(z, y)) for name, z in logits.items()}
    with_exit = frontier([p[name] for name in NAMES], y, list(np.cumsum([STAGE_MS[name] for name in NAMES])), BUDGETS_MS)
    costs = np.cumsum([STAGE_MS["e1"], STAGE_MS["e2"], STAGE_MS["e3"] + STAGE_MS["e4"]])
    without = frontier([p["e1"], p["e2"], p["e4"]], y, list(costs), BUDGETS_MS)
    print("mean milliseconds", BUDGETS_MS)
    print("with e3         %", [round(100 * v, 2) for v in with_exit])
    print("without e3      %", [round(100 * v, 2) for v in without])
    gains = np.subtract(with_exit, without)
    return NAMES if np.nanmax(gains) > 0.001 and np.nanmin(gains) > -0.001 else ["e1", "e2", "e4"]


def third_head_mflops(net, example: torch.Tensor) -> float:
    """MFLOPs of the third head alone."""
    with torch.no_grad():
        wide = net.stages[2](net.stages[0](example))
    macs, _ = count_macs(net.heads[2], wide)
    return 2 * macs[0] / 1e6


def write_samples(folder: str, rows: list, labels: list) -> None:
    """The first test text of each section by the hash of its package's name: none was picked by eye or by outcome."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    truth = {}
    rows = sorted(rows, key=lambda row: hashlib.md5(row["package"].encode()).hexdigest())
    for label in labels:
        row = next(row for row in rows if row["label"] == label)
        name = f"{label}-{row['package']}.txt"
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="\n") as file:
            file.write(row["text"] + "\n")
        truth[name] = label
    write_json(os.path.join(folder, "labels.json"), truth)


def write_json(path: str, value: dict) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder topics.prepare wrote to")
    parser.add_argument("--weights", required=True, help="the folder topics.train wrote to")
    parser.add_argument("--seed", type=int, default=0, help="the seed of that training, for the manifest")
    parser.add_argument("--dry-run", action="store_true", help="print the results and write nothing")
    arguments = parser.parse_args()
    require_data(arguments.data)
    torch.set_num_threads(1)
    source = read_source(arguments.data)
    labels = source["labels"]
    net = load(arguments.weights, len(labels))
    splits = {split: read_split(arguments.data, split, labels) for split in SPLITS}
    (x, y), (test_x, test_y) = splits["validation"], splits["test"]
    example = x[:2]

    with tempfile.TemporaryDirectory() as folder:
        plain = lambda name: os.path.join(folder, f"{name}.plain.onnx")  # noqa: E731
        small = lambda name: os.path.join(folder, f"{name}.onnx")  # noqa: E731
        export_files(net, example, NAMES, plain)
        float_logits, _ = run_files(plain, NAMES, x.numpy())
        with torch.no_grad():
            drift = max(float(np.abs(z.numpy() - float_logits[name][:500]).max()) for z, name in zip(net(x[:500]), NAMES))
        print(f"files against the network: at most {drift:.1e} in a logit")
        kept = rungs_kept(float_logits, y)
        print("rungs kept:", kept)
        export_files(net, example, kept, plain)
        for name in kept:
            to_int8(plain(name), small(name))
        logits, features = run_files(small, kept, x.numpy())
        test_logits, _ = run_files(small, kept, test_x.numpy())
        sizes = {name: {"float": os.path.getsize(plain(name)), "int8": os.path.getsize(small(name))} for name in kept}
        if not arguments.dry_run:
            os.makedirs(TARGET, exist_ok=True)
            for name in kept:
                shutil.copyfile(small(name), os.path.join(TARGET, f"{name}.onnx"))
    own = {name: row["mflops"] for name, row in zip(NAMES, stage_costs(net, example))}
    if "e3" not in kept:  # its stage stays, its head does not
        own["e4"] += own["e3"] - third_head_mflops(net, example)

    temperatures = {name: fit_temperature(logits[name], y) for name in kept}
    p = {name: softmax(logits[name] / temperatures[name]) for name in kept}
    right = np.stack([logits[name].argmax(1) == y for name in kept], 1)
    rungs, results, cumulative = [], {}, {"input": 0.0}
    for name in kept:
        before = resumes_from(name, kept)
        cumulative[name] = cumulative[before] + own[name]
        quality = {"validation": accuracy(logits[name], y), "test": accuracy(test_logits[name], test_y)}
        cut = features.get(name)
        rungs.append({
            "name": name,
            "stage": f"{name}.onnx",
            "resumesFrom": before if before == "input" else kept.index(before),
            "tiers": TIERS[name],
            "mflops": {"own": round(own[name], 4), "cumulative": round(cumulative[name], 4)},
            "referenceMs": {"edge": 1, "node": 1},  # until measured
            **({} if cut is None else {"cut": {"shape": list(cut.shape[1:]), "bytes": {
                "f32": int(np.prod(cut.shape[1:])) * 4, "u8": packed_bytes(cut, 8), "u4": packed_bytes(cut, 4)}}}),
            "temperature": round(temperatures[name], 4),
            "quality": quality,
            "evidence": evidence_table(p[name], right),
        })
        results[name] = {**quality, "floatValidation": accuracy(float_logits[name], y), "bytes": sizes[name]}
        errors = [expected_calibration_error(softmax(logits[name]), y), expected_calibration_error(p[name], y)]
        print(f"{name}: validation {100 * quality['validation']:.2f} % (float weights {100 * results[name]['floatValidation']:.2f} %), "
              f"test {100 * quality['test']:.2f} %, {cumulative[name]:.4f} MFLOPs, {sizes[name]['int8']} bytes (float {sizes[name]['float']}), "
              f"T {temperatures[name]:.2f}, calibration error {errors[0]:.3f} -> {errors[1]:.3f}")
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        stops = np.argmax(np.stack([*[p[name].max(1) >= threshold for name in kept[:-1]], np.ones(len(y), bool)], 1), 1)
        shares = [round(float((stops == k).mean()), 3) for k in range(len(kept))]
        print(f"threshold {threshold}: {100 * right[np.arange(len(y)), stops].mean():.2f} % on validation, leaving {shares}")
    if arguments.dry_run:
        return

    length = sum(size for _, size in SEGMENTS)
    write_json(os.path.join(TARGET, "app.json"), {
        "name": "topics", "platform": "text", "version": "1", "title": "Topics (sections of software packages)",
        "task": "text-classification", "labels": labels,
        "input": {
            "name": "words", "datatype": "UINT16", "shape": [length], "bytes": 2 * length, "accepts": ["text/plain"],
            "preprocessing": {"kind": "tokens", "segments": [{"name": name, "length": size} for name, size in SEGMENTS],
                              "buckets": BUCKETS, "bigramBuckets": PAIR_BUCKETS},
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_y)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": rungs,
    })
    write_samples(os.path.join(TARGET, "samples"), read_rows(arguments.data, "test"), labels)
    write_json(os.path.join(TARGET, "manifest.json"), {
        "application": "topics", "made": datetime.date.today().isoformat(),
        "data": {"source": f"package descriptions of Debian {source['suite']}, main",
                 "licence": "each description under the licence of its package's free software", "lists": source["lists"]},
        "split": {"by": "md5 of the source package", **{split: len(splits[split][1]) for split in SPLITS}},
        "commands": ["python -m topics.prepare --lists LISTS --out DATA",
                     f"python -m topics.train --data DATA --out FOLDER --seed {arguments.seed}",
                     "python -m topics.export --data DATA --weights FOLDER"],
        "recipe": {**RECIPE, "weights": WEIGHTS, "bagHeads": BAG_HEADS}, "seed": arguments.seed,
        "weights": {f"{name}.onnx": {"sha256": sha256(os.path.join(TARGET, f"{name}.onnx")),
                                     "form": "int8: table rows gathered and scaled; other weights per channel, folded at load"} for name in kept},
        "results": results,
        "tools": tools("torch", "onnx", "onnxruntime", "numpy"),
    })


if __name__ == "__main__":
    main()
