"""Makes test/fixtures/tiny: a complete application of a few kilobytes for the tests.

Task: an 8x8 grey image of noise holds one horizontal bar, one vertical bar or one cross somewhere. Rung e1 pools its
features so hard that it is often wrong, e2 resumes from e1's tensor, v restarts from the input and is the best. All of
it is synthetic and seeded, so that one machine and one torch version always give the same files.

Writes e1.onnx, e2.onnx, v.onnx, app.json (temperature, accuracies and evidence counted on held-out images) and
samples.json: test images with their true labels and the logits torch gives for every rung, for parity tests. Beside
them slow.onnx, no rung of the application: an untrained stage from e1's tensor to a tensor of the same shape that
takes some milliseconds, for tests that must find a job in mid-run.

Use, from models/training: python tiny.py [--out ../../test/fixtures/tiny]    (about half a minute on one core)
"""
import argparse
import base64
import json
import os
import zlib

import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F

from common.packing import decode, encode

SIZE, LABELS = 8, ["horizontal", "vertical", "cross"]
MEAN, STD = 0.5, 0.25
BIN_EDGES = [0.0, 0.5, 0.65, 0.8, 0.9, 0.97, 1.0]
# Medians of 1,000 runs after 500, batch 1, one thread, ONNX Runtime 1.30 on a 2-core machine: as WASM and natively.
REFERENCE_MS = {
    "e1": {"edge": 0.018, "node": 0.013},
    "e2": {"edge": 0.019, "node": 0.012},
    "v": {"edge": 0.023, "node": 0.014},
}


def images(count: int, seed: int):
    """uint8 images [count, 1, 8, 8] and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    x = rng.normal(90, 38, (count, SIZE, SIZE))
    for i, label in enumerate(labels):
        row, column = rng.integers(2, SIZE - 2, 2)
        strength = rng.uniform(35, 150)
        if label in (0, 2):
            x[i, row, column - 2 : column + 3] += strength
        if label in (1, 2):
            x[i, row - 2 : row + 3, column] += strength
    return np.clip(np.round(x), 0, 255).astype(np.uint8)[:, None], labels


def normalise(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((x.astype(np.float32) / 255 - MEAN) / STD)


class Head(nn.Module):
    def __init__(self, inputs: int):
        super().__init__()
        self.linear = nn.Linear(inputs, len(LABELS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.mean((2, 3)))


class Stage(nn.Module):
    """One stage with its head: feat and logits, as exported."""

    def __init__(self, body: nn.Module, head: nn.Module, last: bool):
        super().__init__()
        self.body, self.head, self.last = body, head, last

    def forward(self, x: torch.Tensor):
        feat = self.body(x)
        return self.head(feat) if self.last else (feat, self.head(feat))


class SlowStage(nn.Module):
    """Enlarges its tensor, convolves at that size and shrinks it again: work without weights."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Sequential(nn.Upsample(scale_factor=32), nn.Conv2d(4, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 4, 3, 1, 1))
        self.shrink, self.head, self.last = nn.AvgPool2d(32), Head(4), False

    def forward(self, x: torch.Tensor):
        feat = self.shrink(self.wide(x))
        return feat, self.head(feat)


def networks() -> dict:
    e1 = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU())
    e2 = nn.Sequential(nn.Conv2d(4, 12, 3, 1, 1), nn.ReLU(), nn.Conv2d(12, 12, 3, 1, 1), nn.ReLU())
    v = nn.Sequential(nn.Conv2d(1, 8, 5, 1, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 1, 1), nn.ReLU())
    return {"e1": Stage(e1, Head(4), False), "e2": Stage(e2, Head(12), True), "v": Stage(v, Head(16), True)}


def outputs(nets: dict, x: torch.Tensor) -> list:
    """Logits of e1, e2, v."""
    feat, first = nets["e1"](x)
    return [first, nets["e2"](feat), nets["v"](x)]


def train(nets: dict, x: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
    parameters = [p for net in nets.values() for p in net.parameters()]
    steps = epochs * (len(x) // 128)
    optimiser = torch.optim.AdamW(parameters, 1e-2, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for at in range(0, len(x) - 127, 128):
            rows = order[at : at + 128]
            loss = sum(F.cross_entropy(z, y[rows]) for z in outputs(nets, x[rows]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def fit_temperature(logits: torch.Tensor, y: torch.Tensor) -> float:
    grid = np.arange(0.5, 2.001, 0.01)
    return round(float(min(grid, key=lambda t: F.cross_entropy(logits / t, y).item())), 2)


def evidence(exit_logits: torch.Tensor, temperature: float, right: np.ndarray) -> list:
    """Per confidence bin of this exit: how many images, and the share that each rung answers right."""
    confidence = F.softmax(exit_logits / temperature, 1).max(1).values.numpy()
    rows, everyone = [], right.mean(0)
    for low, high in zip(BIN_EDGES, BIN_EDGES[1:]):
        inside = (confidence > low) & (confidence <= high)
        count = int(inside.sum())
        # Ten imaginary images with the average answer keep small bins from saying 0 or 1.
        share = (right[inside].sum(0) + 10 * everyone) / (count + 10)
        rows.append({"from": low, "to": high, "count": count, "right": [round(float(p), 4) for p in share]})
    return rows


def lost_points(resumed, feat: np.ndarray, y: np.ndarray) -> dict:
    """Points of accuracy that the rung resuming from the cut loses by 8- and 4-bit codes; 0 where it loses none."""
    def right(x: np.ndarray) -> float:
        with torch.no_grad():
            return float((resumed(torch.from_numpy(x)).argmax(1).numpy() == y).mean())

    flat = feat.reshape(len(feat), -1)
    packed = {name: decode(*encode(flat, bits)).reshape(feat.shape) for name, bits in (("u8", 8), ("u4", 4))}
    return {name: max(0.0, round(100 * (right(feat) - right(x)), 2)) for name, x in packed.items()}


def packed_bytes(feat: np.ndarray) -> dict:
    """Mean bytes of a packed cut tensor after deflate, per code."""
    sizes = {"f32": 0, "u8": 0, "u4": 0}
    for sample in feat.reshape(len(feat), -1):
        top = max(float(sample.max()), 1e-12)
        codes8 = np.round(sample / top * 255).astype(np.uint8)
        top4 = max(float(np.quantile(sample, 0.999)), 1e-12)
        codes4 = np.clip(np.round(sample / top4 * 15), 0, 15).astype(np.uint8)
        for name, raw in (("f32", sample.tobytes()), ("u8", codes8.tobytes()), ("u4", (codes4[0::2] << 4 | codes4[1::2]).tobytes())):
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            sizes[name] += min(len(raw), len(packer.compress(raw) + packer.flush()))
    return {name: round(total / len(feat)) for name, total in sizes.items()}


def mflops(body: nn.Module, head: Head, x: torch.Tensor):
    total = 0
    for layer in body:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            total += x[0].numel() * layer.weight[0].numel()
    return 2 * (total + head.linear.weight.numel()) / 1e6, x


def export(net: nn.Module, x: torch.Tensor, path: str) -> None:
    names = ["logits"] if net.last else ["feat", "logits"]
    torch.onnx.export(
        net, (x,), path, input_names=["x"], output_names=names, opset_version=17, dynamo=False,
        dynamic_axes={name: {0: "n"} for name in ["x", *names]},
    )
    model = onnx.load(path)
    model.doc_string = "Made by models/training/tiny.py"
    onnx.checker.check_model(model)
    onnx.save(model, path)
    if os.path.getsize(path) >= 20_000:
        raise SystemExit(f"{path} has {os.path.getsize(path)} bytes; a fixture stays below 20,000")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.path.join(os.path.dirname(__file__), "../../test/fixtures/tiny"))
    parser.add_argument("--epochs", type=int, default=40)
    out, epochs = vars(parser.parse_args()).values()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    os.makedirs(out, exist_ok=True)

    nets = networks()
    train_x, train_y = images(8_000, 1)
    train(nets, normalise(train_x), torch.from_numpy(train_y), epochs)
    for net in nets.values():
        net.eval()

    splits = {"validation": images(4_000, 2), "test": images(4_000, 3)}
    logits, right = {}, {}
    with torch.no_grad():
        for name, (x, y) in splits.items():
            logits[name] = outputs(nets, normalise(x))
            right[name] = np.stack([z.argmax(1).numpy() == y for z in logits[name]], 1)
        calibration_y = torch.from_numpy(splits["validation"][1])
        temperatures = [fit_temperature(z, calibration_y) for z in logits["validation"]]
        batch = normalise(splits["test"][0][:2])
        cut = nets["e1"](normalise(splits["validation"][0]))[0].numpy()
        own, feat = mflops(nets["e1"].body, nets["e1"].head, batch)
        costs = [own, mflops(nets["e2"].body, nets["e2"].head, feat)[0], mflops(nets["v"].body, nets["v"].head, batch)[0]]

    export(nets["e1"], batch, os.path.join(out, "e1.onnx"))
    export(nets["e2"], torch.from_numpy(cut[:2]), os.path.join(out, "e2.onnx"))
    export(nets["v"], batch, os.path.join(out, "v.onnx"))
    export(SlowStage().eval(), torch.from_numpy(cut[:2]), os.path.join(out, "slow.onnx"))

    plan = [("e1", "input", ["edge", "node"]), ("e2", 0, ["edge", "node"]), ("v", "input", ["node"])]
    rungs = []
    for k, (name, resumes, tiers) in enumerate(plan):
        rung = {"name": name, "stage": f"{name}.onnx", "resumesFrom": resumes, "tiers": tiers}
        before = 0 if resumes == "input" else costs[resumes]
        rung["mflops"] = {"own": round(costs[k], 5), "cumulative": round(before + costs[k], 5)}
        rung["referenceMs"] = REFERENCE_MS[name]
        if name == "e1":
            rung["cut"] = {"shape": list(cut.shape[1:]), "bytes": packed_bytes(cut), "lostPoints": lost_points(nets["e2"], cut, splits["validation"][1])}
        rung["temperature"] = temperatures[k]
        rung["quality"] = {s: round(float(right[s][:, k].mean()), 4) for s in ("validation", "test")}
        rung["evidence"] = evidence(logits["validation"][k], temperatures[k], right["validation"])
        rungs.append(rung)
        print(name, rung["mflops"], rung["quality"], "T", rung["temperature"])

    application = {
        "name": "tiny", "platform": "vision", "version": "1.0.0", "title": "Bars and crosses (test fixture)",
        "task": "image-classification", "labels": LABELS,
        "input": {
            "name": "image", "datatype": "UINT8", "shape": [1, SIZE, SIZE], "bytes": SIZE * SIZE,
            "accepts": ["image/png", "image/jpeg"],
            "preprocessing": {"kind": "image", "width": SIZE, "height": SIZE, "channels": 1, "mean": [MEAN], "std": [STD]},
        },
        "quality": {"metric": "accuracy", "samples": {s: len(splits[s][0]) for s in splits}},
        "deadline": {"defaultMs": 200, "maxMs": 60_000},
        "rungs": rungs,
    }
    with open(os.path.join(out, "app.json"), "w") as file:
        json.dump(application, file, indent=2)
        file.write("\n")

    x, y = splits["test"]
    samples = [
        {
            "label": int(y[i]),
            "bytes": base64.b64encode(x[i].tobytes()).decode(),
            "logits": [[round(float(v), 5) for v in z[i]] for z in logits["test"]],
        }
        for i in range(24)
    ]
    with open(os.path.join(out, "samples.json"), "w") as file:
        json.dump(samples, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
