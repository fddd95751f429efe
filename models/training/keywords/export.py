"""Writes models/keywords from trained weights: python -m keywords.export --data FOLDER --weights FOLDER [--other FOLDER] (from models/training).

Temperatures, evidence, the choice of rungs: validation only. The test, the unheard voice and the human clips are read
once, for what app.json and this program report. Everything is computed from the ONNX files that ship, int8 weights
included. Measured milliseconds are filled in by `npm run models:profile -- keywords`.
"""
import argparse
import datetime
import json
import os
import tempfile
import wave

import numpy as np
import onnxruntime
import torch

from common.calibration import evidence_table, expected_calibration_error, fit_temperature, frontier, softmax
from common.costs import stage_costs
from common.export import export_graph, export_stages
from common.learning import collect_logits
from common.manifest import sha256, tools
from common.packing import packed_bytes
from common.quantise import to_int8
from keywords import network
from keywords.frontend import FRAMES, MELS, PREPROCESSING, RATE, normalise
from keywords.prepare import LABELS, SILENCE, codes_of, read_split
from keywords.train import RECIPES

SAMPLES_PER_CLASS, SAMPLES_SEED = 1, 1
FEATURES_EVERY = 25  # samples whose tensors are packed, to count bytes
THRESHOLDS = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98]
TOLERANCES = [0.0, 0.002, 0.005, 0.01, 0.02]
TARGET = os.path.join(os.path.dirname(__file__), "..", "..", "keywords")


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
            features[k].append(outputs.get("feat", np.zeros(0))[::FEATURES_EVERY])
    return [np.concatenate(parts) for parts in logits], [np.concatenate(parts) for parts in features]


def write_samples(folder: str, waves: np.ndarray, labels: np.ndarray) -> None:
    """Seconds of each class, drawn from the test set by seed: none was picked by ear or by outcome."""
    os.makedirs(folder, exist_ok=True)
    truth, order = {}, np.random.default_rng(SAMPLES_SEED).permutation(len(labels))
    for label, name in enumerate(LABELS):
        for row in order[labels[order] == label][:SAMPLES_PER_CLASS]:
            file = f"{name}-{row}.wav"
            with wave.open(os.path.join(folder, file), "wb") as sound:
                sound.setnchannels(1)
                sound.setsampwidth(2)
                sound.setframerate(RATE)
                sound.writeframes(waves[row].astype("<i2").tobytes())
            truth[file] = name
    with open(os.path.join(folder, "labels.json"), "w") as file:
        json.dump(truth, file, indent=2)
        file.write("\n")


def by_threshold(p: list, y: np.ndarray, cost: list, threshold: float) -> tuple:
    """Accuracy and mean MFLOPs where each input leaves at the first exit that is so sure; the last answers the rest."""
    waiting, right, spent = np.ones(len(y), bool), np.zeros(len(y), bool), np.zeros(len(y))
    for k, probabilities in enumerate(p):
        leaving = waiting & ((probabilities.max(1) >= threshold) | (k == len(p) - 1))
        right[leaving], spent[leaving] = (probabilities.argmax(1) == y)[leaving], cost[k]
        waiting &= ~leaving
    return float(right.mean()), float(spent.mean())


def report_apart(split: str, logits: list, temperatures: list, names: list, y: np.ndarray) -> None:
    """Accuracy and calibration error, raw and with the temperatures that ship."""
    print(f"\n{split}: {len(y)} samples")
    for name, z, t in zip(names, logits, temperatures):
        right = z.argmax(1) == y
        half = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / len(y))
        print(f"{name}: {100 * right.mean():.2f} ± {100 * half:.2f} %, calibration error {expected_calibration_error(softmax(z), y):.3f} "
              f"-> {expected_calibration_error(softmax(z / t), y):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder keywords.synthesise and keywords.prepare wrote to")
    parser.add_argument("--weights", required=True, help="the folder keywords.train wrote to")
    parser.add_argument("--other", help="the folder of the same networks from another seed: measured, not shipped")
    parser.add_argument("--no-variant", action="store_true", help="a ladder of the trunk alone")
    arguments = parser.parse_args()
    used = ["trunk"] if arguments.no_variant else ["trunk", "variant"]
    trunk = load("trunk", arguments.weights)
    waves, y = read_split(arguments.data, "validation")
    x = normalise(torch.from_numpy(codes_of(waves)))
    example = x[:2]

    names, own = ["e1", "e2", "e3", "e4"], [row["mflops"] for row in stage_costs(trunk, example)]
    resumes, tiers = ["input", 0, 1, 2], [["device", "edge", "node"]] * 4
    shapes = [row["shape"] for row in stage_costs(trunk, example)]
    os.makedirs(TARGET, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        plain = [os.path.join(folder, f"{name}.onnx") for name in [*names, "v"]]
        export_stages(trunk, example, plain[:4])
        # Nothing resumes from the end of the chain: its tensor need not leave the graph.
        with torch.no_grad():
            before = torch.nn.Sequential(*trunk.stages[:3])(example)
        export_graph(torch.nn.Sequential(trunk.stages[3], trunk.heads[3]), before, plain[3], ["logits"])
        if not arguments.no_variant:
            variant = load("variant", arguments.weights)
            names, resumes, tiers = [*names, "v"], [*resumes, "input"], [*tiers, ["node"]]
            own.append(stage_costs(variant, example)[0]["mflops"])
            export_graph(torch.nn.Sequential(variant.stages[0], variant.heads[0]), example, plain[4], ["logits"])
        paths = [os.path.join(TARGET, f"{name}.onnx") for name in names]
        float_logits, _ = run_files(plain[: len(names)], resumes, x.numpy())
        float_bytes = [os.path.getsize(path) for path in plain[: len(names)]]
        for source, target in zip(plain, paths):
            to_int8(source, target)

    logits, features = run_files(paths, resumes, x.numpy())
    temperatures = [fit_temperature(z, y) for z in logits]
    p = [softmax(z / t) for z, t in zip(logits, temperatures)]
    right = np.stack([q.argmax(1) == y for q in p], 1)
    test_waves, test_y = read_split(arguments.data, "test")
    test_logits, _ = run_files(paths, resumes, normalise(torch.from_numpy(codes_of(test_waves))).numpy())
    cumulative = [sum(own[: k + 1]) if resumes[k] != "input" else own[k] for k in range(len(names))]
    # What a cascade has spent by then: a variant that restarts comes on top.
    spent = list(np.cumsum(own))

    rungs, forms = [], {}
    for k, name in enumerate(names):
        test_right = test_logits[k].argmax(1) == test_y
        resumed = k in resumes
        rungs.append({
            "name": name,
            "stage": f"{name}.onnx",
            "resumesFrom": resumes[k],
            "tiers": tiers[k],
            "mflops": {"own": round(own[k], 3), "cumulative": round(cumulative[k], 3)},
            "referenceMs": {"edge": 1, "node": 1},  # until measured
            **({"cut": {"shape": shapes[k], "bytes": {
                "f32": int(np.prod(shapes[k])) * 4, "u8": packed_bytes(features[k], 8), "u4": packed_bytes(features[k], 4)}}}
               if resumed else {}),
            "temperature": round(temperatures[k], 4),
            "quality": {"validation": round(float(right[:, k].mean()), 4), "test": round(float(test_right.mean()), 4)},
            "evidence": evidence_table(p[k], right),
        })
        forms[name] = {
            "form": "int8 per channel, folded at load",
            "validation": {"float32": round(float((float_logits[k].argmax(1) == y).mean()), 4), "int8": rungs[-1]["quality"]["validation"]},
            "bytes": {"float32": float_bytes[k], "int8": os.path.getsize(paths[k])},
        }
        print(f"{name}: {rungs[-1]['mflops']['cumulative']} MFLOPs, T {temperatures[k]:.2f}, {forms[name]}")
    report_apart("validation", logits, temperatures, names, y)
    report_apart("test", test_logits, temperatures, names, test_y)
    half = len(test_y) // 2
    report_apart("test, clean half", [z[:half] for z in test_logits], temperatures, names, test_y[:half])
    apart = {}
    for split in ("voice", "human"):
        if not os.path.exists(os.path.join(arguments.data, f"{split}.s16")):
            continue
        split_waves, split_y = read_split(arguments.data, split)
        split_logits, _ = run_files(paths, resumes, normalise(torch.from_numpy(codes_of(split_waves))).numpy())
        report_apart(split, split_logits, temperatures, names, split_y)
        if split == "voice":
            clean = len(split_y) // 2
            report_apart("voice, clean half", [z[:clean] for z in split_logits], temperatures, names, split_y[:clean])
        apart[split] = {"samples": len(split_y), "right": [int((z.argmax(1) == split_y).sum()) for z in split_logits]}

    seeds = {"shipped": {split: [rung["quality"][split] for rung in rungs] for split in ("validation", "test")}}
    if arguments.other:
        other = [load(name, arguments.other) for name in used if os.path.exists(os.path.join(arguments.other, f"{name}.pt"))]
        seeds["other"] = {}
        for split, sound, truth in (("validation", waves, y), ("test", test_waves, test_y)):
            heard = normalise(torch.from_numpy(codes_of(sound)))
            seeds["other"][split] = [round(float((z.argmax(1) == truth).mean()), 4) for net in other for z in collect_logits(net, heard)]
    print("\nseeds:", seeds)

    print("\none threshold for all exits: validation %, test %, mean MFLOPs on test")
    test_p = [softmax(z / t) for z, t in zip(test_logits, temperatures)]
    for threshold in THRESHOLDS:
        accuracy, mean = by_threshold(test_p, test_y, spent, threshold)
        print(f"{threshold}: {100 * by_threshold(p, y, spent, threshold)[0]:.2f} {100 * accuracy:.2f} {mean:.1f}")
    if not arguments.no_variant:
        budgets = [2, 5, 10, 20, 30, 45, 60, 90]
        print("mean MFLOPs, at most   ", budgets)
        print("e1-e4, validation %    ", [round(100 * v, 2) for v in frontier(p[:4], y, spent[:4], budgets)])
        print("e1-e4 and v            ", [round(100 * v, 2) for v in frontier(p, y, spent, budgets)])
        print("e1-e3 and v            ", [round(100 * v, 2) for v in frontier(p[:3] + p[4:], y, [*spent[:3], spent[2] + own[4]], budgets)])

    application = {
        "name": "keywords", "platform": "audio", "version": "1", "title": "Keywords (synthetic speech)",
        "task": "audio-classification", "labels": LABELS,
        "input": {
            "name": "sound", "datatype": "UINT8", "shape": [1, FRAMES, MELS], "bytes": FRAMES * MELS,
            "accepts": ["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"], "preprocessing": PREPROCESSING,
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_y)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": rungs,
    }
    with open(os.path.join(TARGET, "app.json"), "w") as file:
        json.dump(application, file, indent=2)
        file.write("\n")
    write_samples(os.path.join(TARGET, "samples"), test_waves, test_y)
    with open(os.path.join(arguments.data, "clips.json")) as file:
        clips = json.load(file)
    manifest = {
        "application": "keywords", "made": datetime.date.today().isoformat(),
        "data": {"kind": "synthetic speech, made by these packages; no recording of a person is trained on",
                 "packages": clips["packages"], "voices": clips["voices"], "clips": clips["clips"],
                 "sha256": {"samples of all clips": clips["sha256"],
                            **{f"{split}.s16": sha256(os.path.join(arguments.data, f"{split}.s16")) for split in ("validation", "test", "voice")}}},
        "split": {"train": clips["clips"]["train"], "validation": len(y), "test": len(test_y), "seed": clips["seed"],
                  "without speech": {"validation": int((y == SILENCE).sum()), "test": int((test_y == SILENCE).sum())}},
        "apart": apart,
        "commands": ["python -m keywords.synthesise --out FOLDER", "python -m keywords.prepare --data FOLDER",
                     *[f"python -m keywords.train {name} --data FOLDER --out WEIGHTS" for name in used],
                     "python -m keywords.export --data FOLDER --weights WEIGHTS" + (" --no-variant" if arguments.no_variant else "")],
        "recipes": {name: RECIPES[name] for name in used}, "seed": 0, "seeds": seeds,
        "weights": {f"{name}.onnx": {"sha256": sha256(path), **forms[name]} for name, path in zip(names, paths)},
        "tools": tools("torch", "onnx", "onnxruntime", "numpy"),
    }
    with open(os.path.join(TARGET, "manifest.json"), "w") as file:
        json.dump(manifest, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
