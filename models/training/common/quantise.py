"""Weights as int8 with one scale per output channel, cast and scaled at load.

ONNX Runtime folds Cast and Mul of constants when it loads the graph: a quarter of the file, float speed and memory.
(DequantizeLinear would not be folded, and slows every run.)
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST = 256  # tensors with fewer elements stay float: nothing to win


def channel_axis(graph, name: str):
    """The axis of a weight that indexes output channels; None where this scheme does not apply."""
    for node in graph.node:
        if name not in node.input:
            continue
        if node.op_type == "Conv":
            return 0
        if node.op_type == "Gemm":
            return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
        if node.op_type == "MatMul":
            return 1
    return None


def to_int8(source: str, target: str) -> None:
    """Rewrites `source` with int8 weights to `target`."""
    model = onnx.load(source)
    graph, unfold = model.graph, []
    for tensor in list(graph.initializer):
        weight = numpy_helper.to_array(tensor)
        axis = channel_axis(graph, tensor.name)
        if weight.dtype != np.float32 or weight.size < SMALLEST or weight.ndim < 2 or axis is None:
            continue
        others = tuple(i for i in range(weight.ndim) if i != axis)
        scale = (np.maximum(np.abs(weight).max(others, keepdims=True), 1e-8) / 127).astype(np.float32)
        codes = np.clip(np.round(weight / scale), -127, 127).astype(np.int8)
        name = tensor.name
        graph.initializer.remove(tensor)
        graph.initializer.extend([numpy_helper.from_array(codes, name + "_q"), numpy_helper.from_array(scale, name + "_s")])
        unfold.append(helper.make_node("Cast", [name + "_q"], [name + "_f"], to=TensorProto.FLOAT))
        unfold.append(helper.make_node("Mul", [name + "_f", name + "_s"], [name]))
    for node in reversed(unfold):
        graph.node.insert(0, node)
    onnx.checker.check_model(model)
    onnx.save(model, target)
