"""What an export writes: the stage files, app.json, and what manifest.json says of them.

Numbers of rungs come from the files that ship: temperatures, evidence and cuts from the validation split, one reading of
the test split.
"""
import glob
import json
import os
import shutil
from dataclasses import dataclass

import numpy as np

from common.calibration import evidence_table, expected_calibration_error, fit_temperature, softmax
from common.forms import TEXT
from common.ladder_files import accuracy, resumed_by, run_ladder
from common.manifest import sha256
from common.packing import cut_record

MODELS = os.path.join(os.path.dirname(__file__), "..", "..")
ANYWHERE = ["device", "edge", "node"]


def folder_of(name: str) -> str:
    """models/<name>, made if it is not there."""
    folder = os.path.join(MODELS, name)
    os.makedirs(folder, exist_ok=True)
    return folder


def write_json(path: str, value: dict) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def ship(name: str, rungs: list, paths: list) -> None:
    """Copies the chosen files into the application's folder, one per rung, and takes away those of rungs that are no more."""
    for old in glob.glob(os.path.join(folder_of(name), "*.onnx")):
        os.remove(old)
    for rung, path in zip(rungs, paths):
        shutil.copyfile(path, os.path.join(folder_of(name), f"{rung.name}.onnx"))


def known_ms(name: str) -> dict:
    """Milliseconds that app.json has already, by rung: `npm run models:profile` measures them anew."""
    try:
        with open(os.path.join(folder_of(name), "app.json"), encoding="utf-8") as file:
            return {rung["name"]: rung["referenceMs"] for rung in json.load(file)["rungs"]}
    except FileNotFoundError:
        return {}


@dataclass
class Measured:
    """A ladder's files on both splits. `logits`, `p` (after temperature) and `test_logits` hold one array per rung."""

    logits: list
    test_logits: list
    temperatures: list
    p: list
    right: np.ndarray  # [validation samples, rungs]
    records: list  # the rungs of app.json


def measure(name: str, rungs: list, paths: list, own: list, tiers: list, forms: dict, validation: tuple, test: tuple, digits: int = 3) -> Measured:
    """Reads the files on both splits, (x, y) each, and describes every rung; `own` are MFLOPs, `forms` from choose_forms."""
    (x, y), (test_x, test_y) = validation, test
    logits, cuts = run_ladder(paths, rungs, x)
    test_logits, _ = run_ladder(paths, rungs, test_x)
    temperatures = [fit_temperature(z, y) for z in logits]
    p = [softmax(z / t) for z, t in zip(logits, temperatures)]
    right = np.stack([z.argmax(1) == y for z in logits], 1)
    known, cumulative, records = known_ms(name), [], []
    for k, rung in enumerate(rungs):
        shipped = forms[rung.name]["tried"][forms[rung.name]["ships"]]
        times = {"edge": 1, "node": 1, **known.get(rung.name, {}), **({"edge": shipped["wasmMs"]} if "wasmMs" in shipped else {})}
        cumulative.append(own[k] + (0 if rung.resumes == "input" else cumulative[rung.resumes]))
        records.append({
            "name": rung.name,
            "stage": f"{rung.name}.onnx",
            "resumesFrom": rung.resumes,
            **({"take": rung.take} if rung.take else {}),
            "tiers": tiers[k],
            "mflops": {"own": round(own[k], digits), "cumulative": round(cumulative[k], digits)},
            "referenceMs": times,
            **({"cut": cut_record(paths, rungs, k, cuts[k], logits, y)} if resumed_by(rungs, k) else {}),
            "temperature": round(temperatures[k], 4),
            "quality": {"validation": accuracy(logits[k], y), "test": accuracy(test_logits[k], test_y)},
            "evidence": evidence_table(p[k], right),
        })
        errors = [expected_calibration_error(softmax(logits[k]), y), expected_calibration_error(p[k], y)]
        quality = records[-1]["quality"]
        print(f"{rung.name}: validation {100 * quality['validation']:.2f} %, test {100 * quality['test']:.2f} %, {cumulative[k]:.4f} MFLOPs, "
              f"T {temperatures[k]:.2f}, calibration error on validation {errors[0]:.3f} -> {errors[1]:.3f}, cut {records[-1].get('cut')}")
    return Measured(logits, test_logits, temperatures, p, right, records)


def weights_record(name: str, forms: dict) -> dict:
    """Per stage file: its hash, the form that ships, and what each form tried gave."""
    return {
        f"{rung}.onnx": {"sha256": sha256(os.path.join(folder_of(name), f"{rung}.onnx")), "form": TEXT[record["ships"]], **record}
        for rung, record in forms.items()
    }


def seed_record(seed: int, form: str, logits: list, y: np.ndarray, test_logits: list, test_y: np.ndarray) -> dict:
    """Accuracy per rung of one training run, for the manifest."""
    return {"seed": seed, "form": form, "validation": [accuracy(z, y) for z in logits], "test": [accuracy(z, test_y) for z in test_logits]}
