"""Is the wide network worth a rung? python -m keywords.wide --data FOLDER --weights FOLDER (both networks trained there).

On validation, as float: accuracy of every exit and of the wide network, and the best accuracy at a mean cost with it and
without, one threshold for all exits. Writes nothing and reads no test data.
"""
import argparse

import numpy as np
import torch

from common.calibration import fit_temperature, frontier, softmax
from common.costs import stage_costs
from common.learning import collect_logits
from keywords.export import load, read_inputs

BUDGETS_MFLOPS = [5, 10, 20, 30, 45, 60, 90, 147]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder keywords.synthesise and keywords.prepare wrote to")
    parser.add_argument("--weights", required=True, help="the folder keywords.train wrote to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    x, y, _ = read_inputs(arguments.data, "validation")
    nets = [load(name, arguments.weights) for name in ("trunk", "variant")]
    own = [row["mflops"] for net in nets for row in stage_costs(net, torch.from_numpy(x[:2]))]
    logits = [z for net in nets for z in collect_logits(net, torch.from_numpy(x))]
    p = [softmax(z / fit_temperature(z, y)) for z in logits]
    spent = list(np.cumsum(own))
    print("e1–e4, wide        %", [round(100 * float((z.argmax(1) == y).mean()), 2) for z in logits])
    print("mean MFLOPs, at most", BUDGETS_MFLOPS)
    for name, probabilities, cost in (
        ("e1–e4", p[:4], spent[:4]), ("e1–e4 and wide", p, spent), ("e1–e3 and wide", p[:3] + p[4:], [*spent[:3], spent[2] + own[4]]),
    ):
        print(name.ljust(18), "%", [round(100 * v, 2) for v in frontier(probabilities, y, cost, BUDGETS_MFLOPS)])


if __name__ == "__main__":
    main()
