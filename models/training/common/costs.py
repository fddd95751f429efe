"""What a stage costs: multiply-accumulates counted from the layers themselves, and shapes at the cuts."""
import torch
import torch.nn as nn

from .layers import Ladder


def count_macs(module: nn.Module, x: torch.Tensor) -> tuple:
    """Multiply-accumulates of convolutions and linear layers for one sample, and the module's output."""
    total = [0]

    def add(layer, _inputs, output):
        per_sample = output.numel() // output.shape[0]
        total[0] += per_sample * (layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else layer.in_features)

    handles = [m.register_forward_hook(add) for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
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
