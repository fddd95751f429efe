"""Weights as int8 with one scale per output channel, cast and scaled at load.

ONNX Runtime folds Cast and Mul of constants when it loads the graph: a quarter of the file, float speed and memory.
(DequantizeLinear would not be folded, and slows every run.)

Large embedding tables are not unfolded: a few rows of int8 are gathered and scaled, one scale per row, so that no table
of floats ever exists.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST = 256  # tensors with fewer elements stay float: nothing to win
LARGE_TABLE = 4096  # rows


def channel_axis(graph, name: str):
    """The axis of a weight that indexes output channels; None where this scheme does not apply."""
    for node in graph.node:
        if name not in node.input:
            continue
        if node.op_type == "Conv":
            return 0
        if node.op_type == "Gemm":
            return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
        if node.op_type == "MatMul" or (node.op_type == "Gather" and name == node.input[0]):
            return 1
    return None


def gather_rows(graph, tensor, weight: np.ndarray) -> None:
    """Replaces a table by int8 rows and their scales, gathered and multiplied where the table was gathered."""
    scale = (np.maximum(np.abs(weight).max(1, keepdims=True), 1e-8) / 127).astype(np.float32)
    codes = np.clip(np.round(weight / scale), -127, 127).astype(np.int8)
    name = tensor.name
    graph.initializer.remove(tensor)
    graph.initializer.extend([numpy_helper.from_array(codes, name + "_q"), numpy_helper.from_array(scale, name + "_s")])
    for node in [node for node in graph.node if node.op_type == "Gather" and node.input[0] == name]:
        ids, rows, at = node.input[1], node.output[0], list(graph.node).index(node)
        node.input[0], node.output[0] = name + "_q", rows + "_q"
        graph.node.insert(at + 1, helper.make_node("Cast", [rows + "_q"], [rows + "_f"], to=TensorProto.FLOAT))
        graph.node.insert(at + 2, helper.make_node("Gather", [name + "_s", ids], [rows + "_s"], axis=0))
        graph.node.insert(at + 3, helper.make_node("Mul", [rows + "_f", rows + "_s"], [rows]))


def to_int8(source: str, target: str) -> None:
    """Rewrites `source` with int8 weights to `target`."""
    model = onnx.load(source)
    graph, unfold = model.graph, []
    for tensor in list(graph.initializer):
        weight = numpy_helper.to_array(tensor)
        axis = channel_axis(graph, tensor.name)
        if weight.dtype != np.float32 or weight.size < SMALLEST or weight.ndim < 2 or axis is None:
            continue
        users = [node.op_type for node in graph.node if tensor.name in node.input]
        if weight.ndim == 2 and len(weight) >= LARGE_TABLE and set(users) == {"Gather"}:
            gather_rows(graph, tensor, weight)
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
