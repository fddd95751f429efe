"""Writes models/keywords from trained weights: python -m keywords.export --data FOLDER --weights FOLDER [--other FOLDER] (from models/training).

Temperatures, evidence, the choice of rungs and of the form of each stage: validation only. The test, the unheard voice
and the human clips are read once, for what app.json and this program report; everything is computed from the ONNX files
that ship. Milliseconds on nodes are filled in by `npm run models:profile -- keywords`.
"""
import argparse
import datetime
import json
import os
import tempfile
import wave

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
from keywords import network
from keywords.frontend import FRAMES, MELS, PREPROCESSING, RATE, normalise
from keywords.prepare import LABELS, SILENCE, Clips, codes_of, read_split
from keywords.train import RECIPES

SAMPLES_PER_CLASS, SAMPLES_SEED = 1, 1
NATURAL_VOICE = "flite rms"  # in validation: built from recordings of a person
THRESHOLDS = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98]


def load(name: str, folder: str):
    net = getattr(network, name)()
    net.load_state_dict(torch.load(os.path.join(folder, f"{name}.pt"), weights_only=True)["net"])
    return net.eval()


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
    write_json(os.path.join(folder, "labels.json"), truth)


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


def read_inputs(folder: str, split: str) -> tuple:
    """Log-mel pictures float32 [seconds, 1, frames, mels], labels, and the sounds themselves."""
    waves, y = read_split(folder, split)
    return normalise(torch.from_numpy(codes_of(waves))).numpy(), y, waves


def natural_rows(folder: str) -> np.ndarray:
    """Which seconds of the validation split the natural-like voice speaks: each clip is there once clean, once in noise."""
    clips = Clips(folder)
    voices = clips.voices[clips.rows("validation")]
    return np.concatenate([voices, voices]) == NATURAL_VOICE


def export_floats(nets: list, example: torch.Tensor, paths: list) -> None:
    """One float file per rung of the trunk, and of the variant if there is one."""
    trunk = nets[0]
    export_stages(trunk, example, paths[:4])
    # Nothing resumes from the end of the chain: its tensor need not leave the graph.
    with torch.no_grad():
        before = torch.nn.Sequential(*trunk.stages[:3])(example)
    export_graph(torch.nn.Sequential(trunk.stages[3], trunk.heads[3]), before, paths[3], ["logits"])
    for variant in nets[1:]:
        export_graph(torch.nn.Sequential(variant.stages[0], variant.heads[0]), example, paths[4], ["logits"])


def report_thresholds(measured, rungs: list, own: list, y: np.ndarray, test_y: np.ndarray) -> None:
    """One threshold for all exits, and with a variant, what it is worth at a mean cost. A restart comes on top of what was spent."""
    spent, p = list(np.cumsum(own)), measured.p
    print("\none threshold for all exits: validation %, test %, mean MFLOPs on test")
    test_p = [softmax(z / t) for z, t in zip(measured.test_logits, measured.temperatures)]
    for threshold in THRESHOLDS:
        accuracy, mean = by_threshold(test_p, test_y, spent, threshold)
        print(f"{threshold}: {100 * by_threshold(p, y, spent, threshold)[0]:.2f} {100 * accuracy:.2f} {mean:.1f}")
    if len(rungs) > 4:
        budgets = [2, 5, 10, 20, 30, 45, 60, 90]
        print("mean MFLOPs, at most   ", budgets)
        print("e1-e4, validation %    ", [round(100 * v, 2) for v in frontier(p[:4], y, spent[:4], budgets)])
        print("e1-e4 and v            ", [round(100 * v, 2) for v in frontier(p, y, spent, budgets)])
        print("e1-e3 and v            ", [round(100 * v, 2) for v in frontier(p[:3] + p[4:], y, [*spent[:3], spent[2] + own[4]], budgets)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder keywords.synthesise and keywords.prepare wrote to")
    parser.add_argument("--weights", required=True, help="the folder keywords.train wrote to with seed 0")
    parser.add_argument("--other", help="the same with seed 1: measured, not shipped")
    parser.add_argument("--no-variant", action="store_true", help="a ladder of the trunk alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    used = ["trunk"] if arguments.no_variant else ["trunk", "variant"]
    nets = [load(name, arguments.weights) for name in used]
    x, y, _ = read_inputs(arguments.data, "validation")
    test_x, test_y, test_waves = read_inputs(arguments.data, "test")
    example = torch.from_numpy(x[:2])
    own = [row["mflops"] for net in nets for row in stage_costs(net, example)]
    rungs = [Rung("e1", "input"), Rung("e2", 0), Rung("e3", 1), Rung("e4", 2), Rung("v", "input", edge=False)][: len(own)]
    names, apart = [rung.name for rung in rungs], {}

    with tempfile.TemporaryDirectory() as folder:
        plain = [os.path.join(folder, f"{name}.onnx") for name in names]
        export_floats(nets, example, plain)
        paths, forms = choose_forms(rungs, plain, ["int8"] * len(rungs), folder, x, y)
        tiers = [ANYWHERE if rung.edge else ["node"] for rung in rungs]
        measured = measure("keywords", rungs, paths, own, tiers, forms, (x, y), (test_x, test_y))
        ship("keywords", rungs, paths)
        report = lambda split, z, truth: report_apart(split, z, measured.temperatures, names, truth)  # noqa: E731
        natural, half = natural_rows(arguments.data), len(test_y) // 2
        report("validation", measured.logits, y)
        report(f"validation, {NATURAL_VOICE}", [z[natural] for z in measured.logits], y[natural])
        report("validation, the rest", [z[~natural] for z in measured.logits], y[~natural])
        report("test", measured.test_logits, test_y)
        report("test, clean half", [z[:half] for z in measured.test_logits], test_y[:half])
        for split in ("voice", "human"):
            if not os.path.exists(os.path.join(arguments.data, f"{split}.s16")):
                continue
            split_x, split_y, _ = read_inputs(arguments.data, split)
            logits, _ = run_ladder(paths, rungs, split_x)
            report(split, logits, split_y)
            if split == "voice":
                clean = len(split_y) // 2
                report("voice, clean half", [z[:clean] for z in logits], split_y[:clean])
            apart[split] = {"samples": len(split_y), "right": [int((z.argmax(1) == split_y).sum()) for z in logits]}

    seeds = [seed_record(0, "as shipped", measured.logits, y, measured.test_logits, test_y)]
    if arguments.other:
        others = [load(name, arguments.other) for name in used if os.path.exists(os.path.join(arguments.other, f"{name}.pt"))]
        found = [[z for net in others for z in collect_logits(net, torch.from_numpy(heard))] for heard in (x, test_x)]
        seeds.append(seed_record(1, "fp32", found[0], y, found[1], test_y))
    print("\nseeds:", seeds)
    report_thresholds(measured, rungs, own, y, test_y)

    target = folder_of("keywords")
    write_json(os.path.join(target, "app.json"), {
        "name": "keywords", "platform": "audio", "version": "1", "title": "Keywords (synthetic speech)",
        "task": "audio-classification", "labels": LABELS,
        "input": {
            "name": "sound", "datatype": "UINT8", "shape": [1, FRAMES, MELS], "bytes": FRAMES * MELS,
            "accepts": ["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"], "preprocessing": PREPROCESSING,
        },
        "quality": {"metric": "top-1 accuracy", "samples": {"validation": len(y), "test": len(test_y)}},
        "deadline": {"defaultMs": 200, "maxMs": 10000},
        "rungs": measured.records,
    })
    write_samples(os.path.join(target, "samples"), test_waves, test_y)
    with open(os.path.join(arguments.data, "clips.json")) as file:
        clips = json.load(file)
    write_json(os.path.join(target, "manifest.json"), {
        "application": "keywords", "made": datetime.date.today().isoformat(),
        "data": {"kind": "synthetic speech, made by these packages; no recording of a person is trained on",
                 "packages": clips["packages"], "voices": clips["voices"], "clips": clips["clips"],
                 "sha256": {"samples of all clips": clips["sha256"],
                            **{f"{split}.s16": sha256(os.path.join(arguments.data, f"{split}.s16")) for split in ("validation", "test", "voice")}}},
        "split": {"train": clips["clips"]["train"], "validation": len(y), "test": len(test_y), "seed": clips["seed"],
                  "without speech": {"validation": int((y == SILENCE).sum()), "test": int((test_y == SILENCE).sum())}},
        "apart": apart,
        "commands": ["python -m keywords.synthesise --out FOLDER", "python -m keywords.prepare --data FOLDER",
                     *(f"python -m keywords.train {name} --data FOLDER --seed {run['seed']} --out WEIGHTS-{run['seed']}" for run in seeds for name in used),
                     "python -m keywords.export --data FOLDER --weights WEIGHTS-0" + (" --other WEIGHTS-1" if arguments.other else "")
                     + (" --no-variant" if arguments.no_variant else "")],
        "recipes": {name: RECIPES[name] for name in used}, "seed": 0, "seeds": seeds,
        "weights": weights_record("keywords", forms),
        "tools": tools("torch", "onnx", "onnxruntime", "numpy"),
    })


if __name__ == "__main__":
    main()
