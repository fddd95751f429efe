"""What a stage costs: multiply-accumulates counted from the layers themselves, and shapes at the cuts."""
import torch
import torch.nn as nn

from .layers import Ladder

COUNTED = (nn.Conv1d, nn.Conv2d, nn.Linear)


def count_macs(module: nn.Module, x: torch.Tensor) -> tuple:
    """Multiply-accumulates of convolutions and linear layers for one sample, and the module's output.

    A module that computes otherwise too says how much by a method `extra_macs` of its input.
    """
    total = [0]

    def add(layer, _inputs, output):
        per_sample = output.numel() // output.shape[0]
        total[0] += per_sample * (layer.in_features if isinstance(layer, nn.Linear) else layer.weight[0].numel())

    def add_extra(layer, inputs, _output):
        total[0] += layer.extra_macs(inputs[0])

    handles = [m.register_forward_hook(add) for m in module.modules() if isinstance(m, COUNTED)]
    handles += [m.register_forward_hook(add_extra) for m in module.modules() if hasattr(m, "extra_macs")]
    try:
        with torch.no_grad():
            return total, module(x)
    finally:
        for handle in handles:
            handle.remove()


def stage_costs(ladder: Ladder, x: torch.Tensor) -> list:
    """Per stage: its own MFLOPs with its head (2 x MACs / 1e6), and the shape of the tensor at its cut (no batch)."""
    ladder.eval()
    rows = []
    for stage, head in zip(ladder.stages, ladder.heads):
        stage_macs, x = count_macs(stage, x)
        head_macs, _ = count_macs(head, x)
        rows.append({"mflops": 2 * (stage_macs[0] + head_macs[0]) / 1e6, "shape": list(x.shape[1:])})
    return rows
