"""Which form of each stage ships: float, int8 weights folded at load, or int8 arithmetic.

Int8 arithmetic ships where it is faster in ONNX Runtime's WASM build, as the edge runs it, and with it neither its exit
nor any that resumes from it is more than LOST of validation accuracy below the float ladder. Stages are decided in
order, each on top of the forms chosen before it. The times come from scripts/stage-times.ts.
"""
import json
import os
import subprocess
import tempfile

import numpy as np
import onnx

from common.ladder_files import accuracy, resumed_by, run_ladder, run_rungs
from common.qdq import activations_of, to_qdq
from common.quantise import to_int8

LOST = 0.002
FASTER = 0.95  # of the time of folded weights; less of a gain is within what two measurements differ by
CALIBRATION = 1000  # inputs that activation ranges are taken from: the first of the validation split
REPOSITORY = os.path.join(os.path.dirname(__file__), "..", "..", "..")
TEXT = {"fp32": "fp32", "int8": "int8 per channel, folded at load; table rows gathered and scaled", "qdq": "int8 arithmetic (QDQ)"}


def wasm_ms(paths: list, x: np.ndarray) -> list:
    """Median milliseconds of one run of each file in onnxruntime-web under Node.js, taken in turns; `x` is one input."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "input.json")
        with open(path, "w") as file:
            json.dump({"type": str(x.dtype), "dims": list(x.shape), "data": x.ravel().tolist()}, file)
        node = os.path.join(REPOSITORY, "node_modules", ".bin", "node")
        command = [node, os.path.join(REPOSITORY, "scripts", "stage-times.ts"), path, *map(os.path.abspath, paths)]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def choose_forms(rungs: list, plain: list, base: list, folder: str, x: np.ndarray, y: np.ndarray) -> tuple:
    """Paths of the files to ship, and per rung what was tried, for the manifest.

    `plain` are the float files; `base` says per rung "fp32" or "int8", the form without int8 arithmetic. Files are
    written to `folder`. `x` and `y` are the whole validation split.
    """
    forms = {"fp32": plain, "int8": [os.path.join(folder, f"{rung.name}.int8.onnx") for rung in rungs]}
    for source, target in zip(forms["fp32"], forms["int8"]):
        to_int8(source, target)
    alone = {form: [accuracy(z, y) for z in run_ladder(paths, rungs, x)[0]] for form, paths in forms.items()}
    chosen, paths, scales = list(base), [forms[form][k] for k, form in enumerate(base)], {}
    held = {**run_ladder(paths, rungs, x)[1], "input": x}
    records = {}
    for k, rung in enumerate(rungs):
        # "alone": every stage of the ladder in that form; int8 arithmetic is measured on the forms chosen before it.
        tried = {form: {"bytes": os.path.getsize(forms[form][k]), "validation": alone[form][k]} for form in ("fp32", "int8")}
        source = rung.of_input(x) if rung.resumes == "input" else held[rung.resumes]
        timed = {form: forms[form][k] for form in tried}
        quantised = os.path.join(folder, f"{rung.name}.qdq.onnx")
        if rung.edge and activations_of(onnx.load(plain[k]).graph):
            scale = to_qdq(plain[k], quantised, source[:CALIBRATION], scales.get(rung.resumes))
            timed["qdq"] = quantised
        for form, ms in zip(timed, wasm_ms(list(timed.values()), source[:1]) if rung.edge else []):
            tried.setdefault(form, {})["wasmMs"] = ms
        if "qdq" in timed:
            attempt = [quantised if j == k else path for j, path in enumerate(paths)]
            then = dict(held)
            found = run_rungs(attempt, rungs, then, [k, *resumed_by(rungs, k)])
            lost = {rungs[j].name: round(100 * (alone["fp32"][j] - accuracy(z, y)), 2) for j, z in found.items()}
            tried["qdq"] |= {"bytes": os.path.getsize(quantised), "validation": accuracy(found[k], y), "lostPoints": lost}
            if max(lost.values()) <= 100 * LOST and tried["qdq"]["wasmMs"] <= FASTER * tried[base[k]]["wasmMs"]:
                chosen[k], paths, held = "qdq", attempt, then
                if scale:
                    scales[k] = scale
        records[rung.name] = {"ships": chosen[k], "tried": tried}
        print(f"{rung.name} ships as {chosen[k]}: {json.dumps(tried)}", flush=True)
    return paths, records
