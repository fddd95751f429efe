"""Int8 arithmetic: activations as uint8 with one scale per tensor, weights as int8 with one per output channel.

The graph says so with QuantizeLinear and DequantizeLinear (QDQ) pairs, which ONNX Runtime replaces by integer kernels
(onnxruntime.ai, "Quantize ONNX models"). Quantised are convolutions, fully connected layers and the sums of residual
blocks. What reads such a tensor reads the quantised one, the shipped `feat` included, so that a next stage that
quantises its input alike finds the same codes and stages still answer as their monolith does.

Weights use codes of -64 to 64 only: a processor without 8-bit dot products adds two products in 16 bits, and
2 x 255 x 64 still fits, so that no processor saturates and all give the same sums.
"""
import os
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common.ladder_files import run_stage
from common.quantise import SMALLEST, channel_axis, to_int8

TOP_WEIGHT, TOP_ACTIVATION = 64, 255
MIDDLE = 0.9999  # of the values an activation is measured on; codes beyond saturate
WEIGHTED = ("Conv", "Gemm", "MatMul")


def weights_of(graph) -> dict:
    """The constant weights worth quantising, by name: float arrays of two or more axes that a weighted node reads second."""
    used = {node.input[1] for node in graph.node if node.op_type in WEIGHTED}
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name in used}
    return {name: weight for name, weight in found.items() if weight.dtype == np.float32 and weight.size >= SMALLEST}


def activated(graph, name: str) -> str:
    """The tensor after the ReLU that alone reads `name`, or `name` itself: integer kernels apply the ReLU while they round."""
    users = [node for node in graph.node if name in node.input]
    alone = len(users) == 1 and users[0].op_type == "Relu" and name not in {output.name for output in graph.output}
    return users[0].output[0] if alone else name


def activations_of(graph) -> list:
    """The tensors to quantise: what weighted nodes read, what convolutions and residual sums make."""
    weights, producer = weights_of(graph), {output: node for node in graph.node for output in node.output}
    names = []
    for node in graph.node:
        if node.op_type in WEIGHTED and node.input[1] in weights:
            names.append(node.input[0])
            if node.op_type == "Conv":
                names.append(activated(graph, node.output[0]))
        made = [producer[name].op_type for name in node.input if name in producer]
        if node.op_type == "Add" and len(made) == 2 and "Conv" in made:
            names += [*node.input, activated(graph, node.output[0])]
    return [name for name in dict.fromkeys(names) if name != "logits"]


def span_of(values: np.ndarray) -> tuple:
    """The range that holds the middle of the values on each side, 0 included: one outlier would cost all others precision."""
    low, high = np.quantile(values, (1 - MIDDLE, MIDDLE))
    return min(0.0, float(low)), max(0.0, float(high))


def ranges_of(source: str, names: list, x: np.ndarray) -> dict:
    """The range of each tensor over the inputs `x`."""
    model = onnx.load(source)
    known = {value.name for value in [*model.graph.input, *model.graph.output]}
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in known)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "exposed.onnx")
        onnx.save(model, path)
        values = {**run_stage(path, x), "x": x}
    return {name: span_of(values[name]) for name in names}


def scale_of(low: float, high: float) -> tuple:
    scale = np.float32(max((high - low) / TOP_ACTIVATION, 1e-8))
    return scale, np.uint8(np.clip(np.round(-low / scale), 0, TOP_ACTIVATION))


class Rewriter:
    """Collects the nodes and constants of the quantised graph."""

    def __init__(self, graph, scales: dict):
        self.graph, self.scales, self.nodes, self.done = graph, scales, [], {}

    def constant(self, name: str, value) -> str:
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def quantise(self, name: str, target: str) -> None:
        """Writes the quantised form of tensor `name` to tensor `target`."""
        scale, zero = self.scales[name]
        pair = [self.constant(f"{name}_scale", scale), self.constant(f"{name}_zero", zero)]
        self.nodes.append(helper.make_node("QuantizeLinear", [name, *pair], [f"{name}_codes"]))
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{name}_codes", *pair], [target]))

    def store(self, name: str, codes: np.ndarray, scale: np.ndarray, axis: int) -> None:
        """Replaces a constant by its codes; the tensor of that name is dequantised from them."""
        if name in self.done:
            return
        self.done[name] = True
        self.graph.initializer.remove(next(tensor for tensor in self.graph.initializer if tensor.name == name))
        inputs = [self.constant(f"{name}_codes", codes), self.constant(f"{name}_scale", scale)]
        inputs.append(self.constant(f"{name}_zero", np.zeros(len(scale), codes.dtype)))
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [name], axis=axis))

    def weight(self, node, weight: np.ndarray, bias, input_scale: np.float32) -> None:
        axis = channel_axis(self.graph, node.input[1])
        others = tuple(i for i in range(weight.ndim) if i != axis)
        scale = (np.maximum(np.abs(weight).max(others), 1e-8) / TOP_WEIGHT).astype(np.float32)
        codes = np.clip(np.round(weight / np.expand_dims(scale, others)), -TOP_WEIGHT, TOP_WEIGHT).astype(np.int8)
        self.store(node.input[1], codes, scale, axis)
        if bias is not None:
            steps = (input_scale * scale).astype(np.float32)
            self.store(node.input[2], np.round(bias / steps).astype(np.int32), steps, 0)


def to_qdq(source: str, target: str, x: np.ndarray, input_scale: tuple | None = None) -> tuple | None:
    """Writes `source` with int8 arithmetic to `target`, with ranges as the inputs `x` show them.

    `input_scale` is what the stage before quantises its `feat` with, if it does; returns this one's, or None.
    """
    model = onnx.load(source)
    graph, weights, names = model.graph, weights_of(model.graph), activations_of(model.graph)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    scales = {name: scale_of(*span) for name, span in ranges_of(source, names, x).items()}
    if input_scale and "x" in scales:
        scales["x"] = input_scale
    rewriter = Rewriter(graph, scales)
    # The graph's outputs keep their names, so a quantised one is made under another name first.
    outputs = {output.name for output in graph.output}
    raw = {name: f"{name}_raw" if name in outputs else name for name in names}
    read = {name: name if name in outputs else f"{name}_rounded" for name in names}
    rewriter.scales = {raw[name]: scale for name, scale in scales.items()}
    if "x" in names:
        rewriter.quantise("x", read["x"])
    for node in list(graph.node):
        if node.op_type in WEIGHTED and node.input[1] in weights:
            bias = constants.get(node.input[2]) if len(node.input) > 2 else None
            rewriter.weight(node, weights[node.input[1]], bias, scales[node.input[0]][0])
        for i, name in enumerate(node.input):
            node.input[i] = read.get(name, name)
        for i, name in enumerate(node.output):
            node.output[i] = raw.get(name, name)
        rewriter.nodes.append(node)
        for name in [name for name in names if raw[name] in node.output]:
            rewriter.quantise(raw[name], read[name])
    del graph.node[:]
    graph.node.extend(rewriter.nodes)
    onnx.checker.check_model(model)
    onnx.save(model, target)
    to_int8(target, target)  # what is left, such as tables
    return scales.get("feat")
