"""The stage files of one ladder, run one after another as they are served, on one processor thread."""
from dataclasses import dataclass

import numpy as np
import onnxruntime

BATCH = 500


@dataclass(frozen=True)
class Rung:
    """One rung as far as running it goes: its name, where its stage reads from, and whether it may run at the edge."""

    name: str
    resumes: str | int  # "input" or the index of an earlier rung
    edge: bool = True
    take: int | None = None  # how many leading elements of the input it reads; all if None

    def of_input(self, x: np.ndarray) -> np.ndarray:
        return x if self.take is None else x[:, : self.take]


def open_session(path: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_stage(path: str, x: np.ndarray) -> dict:
    """Every output of one file over all of `x`, by name."""
    session = open_session(path)
    names = [output.name for output in session.get_outputs()]
    parts = [session.run(names, {"x": x[first : first + BATCH]}) for first in range(0, len(x), BATCH)]
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}


def resumed_by(rungs: list, k: int) -> list:
    """The rungs that read the cut of rung k, directly or through one another, in order."""
    found = []
    for j, rung in enumerate(rungs):
        if rung.resumes == k or rung.resumes in found:
            found.append(j)
    return found


def run_rungs(paths: list, rungs: list, held: dict, wanted: list) -> dict:
    """Logits [samples, classes] of the rungs `wanted`, in order.

    `held` maps "input" and rungs to the tensors that are there already; the cuts of the rungs that run are added to it.
    """
    logits = {}
    for k in wanted:
        source = held[rungs[k].resumes]
        outputs = run_stage(paths[k], rungs[k].of_input(source) if rungs[k].resumes == "input" else source)
        logits[k] = outputs["logits"]
        if "feat" in outputs:
            held[k] = outputs["feat"]
    return logits


def run_ladder(paths: list, rungs: list, x: np.ndarray) -> tuple:
    """Logits of every rung as a list, and the tensor at each cut by rung, for all of `x`."""
    held = {"input": x}
    logits = run_rungs(paths, rungs, held, list(range(len(rungs))))
    del held["input"]
    return [logits[k] for k in range(len(rungs))], held


def accuracy(logits: np.ndarray, y: np.ndarray) -> float:
    """Share of right answers."""
    return round(float((logits.argmax(1) == y).mean()), 4)
