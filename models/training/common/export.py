"""ONNX files, one per stage: input `x`, outputs `feat` and `logits` (a variant: `logits`), dynamic batch `n`."""
import onnx
import torch
import torch.nn as nn

OPSET = 17


class StageWithHead(nn.Module):
    """One stage and its head as one graph: the tensor to resume from, and this exit's logits."""

    def __init__(self, stage: nn.Module, head: nn.Module):
        super().__init__()
        self.stage, self.head = stage, head

    def forward(self, x: torch.Tensor) -> tuple:
        feature = self.stage(x)
        return feature, self.head(feature)


def export_graph(module: nn.Module, example: torch.Tensor, path: str, outputs: list) -> None:
    """Traces with the example's batch, which must be 2 or more: a batch of 1 can be baked into the graph."""
    if len(example) < 2:
        raise ValueError("trace with a batch of at least 2")
    module.eval()
    axes = {name: {0: "n"} for name in ["x", *outputs]}
    torch.onnx.export(
        module, (example,), path, input_names=["x"], output_names=outputs, opset_version=OPSET, dynamic_axes=axes, dynamo=False
    )
    onnx.checker.check_model(onnx.load(path))


def export_stages(ladder, example: torch.Tensor, paths: list) -> None:
    """Writes one file per stage of the ladder, in order."""
    ladder = ladder.to(memory_format=torch.contiguous_format).eval()
    x = example
    for stage, head, path in zip(ladder.stages, ladder.heads, paths):
        export_graph(StageWithHead(stage, head), x, path, ["feat", "logits"])
        with torch.no_grad():
            x = stage(x)
