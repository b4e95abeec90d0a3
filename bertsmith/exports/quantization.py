"""Weights of an ONNX file in 8 bits, each output channel with a scale of its own; inputs are measured as they come.

Embeddings stay as they are: all their rows would share one scale.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

LARGEST = 1_900_000_000  # bytes of a graph that still go into one file


def quantize(file: Path, out: Path) -> None:
    """Write the file anew with 8-bit weights in all linear maps. OSError when writing fails."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(file)
    _as_products(model.graph)
    quantize_dynamic(
        model,
        out,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=saturates(),
        weight_type=QuantType.QInt8,
        use_external_data_format=model.ByteSize() > LARGEST,
    )


def _as_products(graph: Any) -> None:
    """Every linear map as a product and a sum, with one turned copy of each weight.

    Dynamic quantisation knows products alone. ONNX Runtime's own rewriting turns a weight once for each use, so that
    weights which layers share, or which are embeddings too, would come out wrong.
    """
    from onnx import helper, numpy_helper

    weights = {weight.name: weight for weight in graph.initializer}
    turned: dict[str, str] = {}
    nodes: list[Any] = []
    for node in graph.node:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type != "Gemm" or not attributes.get("transB") or node.input[1] not in weights:
            nodes.append(node)
            continue
        name, (result,) = node.input[1], node.output
        if name not in turned:
            turned[name] = f"{name}.turned"
            array = numpy_helper.to_array(weights[name]).T
            graph.initializer.append(numpy_helper.from_array(array.copy(), turned[name]))
        product = f"{result}.product" if len(node.input) > 2 else result
        nodes.append(helper.make_node("MatMul", [node.input[0], turned[name]], [product], name=f"{result}.matmul"))
        if len(node.input) > 2:
            nodes.append(helper.make_node("Add", [product, node.input[2]], [result], name=f"{result}.add"))
    graph.ClearField("node")
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [weight for weight in graph.initializer if weight.name in used]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)


def saturates() -> bool:
    """Whether this processor adds 8-bit products in 16 bits, which overflow unless weights keep to 7 bits: x86 without
    VNNI. Where that cannot be told, it is taken to.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return "vnni" not in Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return True
