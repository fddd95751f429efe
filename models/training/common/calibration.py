"""From validation logits to what a ladder says of itself: temperatures, evidence tables, frontiers."""
import math

import numpy as np

BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
FEWEST = 50  # evidence rows with fewer samples are merged into their neighbour


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def fit_temperature(z: np.ndarray, y: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood, on a logarithmic grid of 120 points."""

    def nll(t: float) -> float:
        s = z / t - (z / t).max(1, keepdims=True)
        return float((np.log(np.exp(s).sum(1)) - s[np.arange(len(y)), y]).mean())

    return float(min(np.exp(np.linspace(math.log(0.3), math.log(5), 120)), key=nll))


def expected_calibration_error(p: np.ndarray, y: np.ndarray, bins: int = 15) -> float:
    confidence, right = p.max(1), p.argmax(1) == y
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [(which == i).mean() * abs(right[which == i].mean() - confidence[which == i].mean()) for i in set(which)]
    return float(sum(gaps))


def evidence_table(p: np.ndarray, right: np.ndarray) -> list:
    """Rows {from, to, count, right: P(right at rung m)} over this exit's confidence; `right` is [samples, rungs].

    Bins with fewer than FEWEST samples join the bin above (the last one: the bin below), so every row rests on data.
    """
    confidence, edges = p.max(1), list(BINS)
    counts = lambda low, high: int(((confidence > low) & (confidence <= high)).sum())  # noqa: E731
    at = 0
    while len(edges) > 2 and at < len(edges) - 1:
        if counts(edges[at], edges[at + 1]) >= FEWEST:
            at += 1
        elif at + 2 < len(edges):
            edges.pop(at + 1)
        else:
            edges.pop(at)
            at -= 1
    rows = []
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (confidence > low) & (confidence <= high)
        shares = [round(float(v), 4) for v in right[inside].mean(0)]
        rows.append({"from": low, "to": high, "count": int(inside.sum()), "right": shares})
    return rows


def frontier(probabilities: list, y: np.ndarray, cost: list, budgets: list) -> list:
    """Best accuracy at a mean cost of at most each budget, over one threshold shared by all exits (last exit: always)."""
    points = []
    for threshold in [*np.arange(0.3, 0.9, 0.01), *np.arange(0.9, 1.0, 0.0025), 1.01]:
        waiting, right, spent = np.ones(len(y), bool), np.zeros(len(y), bool), np.zeros(len(y))
        for k, p in enumerate(probabilities):
            leaving = waiting & ((p.max(1) >= threshold) | (k == len(probabilities) - 1))
            right[leaving], spent[leaving] = (p.argmax(1) == y)[leaving], cost[k]
            waiting &= ~leaving
        points.append((float(spent.mean()), float(right.mean())))
    return [max((accuracy for spent, accuracy in points if spent <= budget), default=float("nan")) for budget in budgets]
