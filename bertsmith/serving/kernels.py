"""What lies between the matrix products of an encoder layer, for inference on a CPU: one pass over each row.

A row is a token. bf16 is given by its bits, uint16. An activation is x (1/2 + z P(z^2)), z = x cut at +-LIMIT: a
polynomial, fitted here, whose error (2e-4 at most) is below the rounding of bf16 and int8.
Quantised rows are uint8 with their own scale: value = (byte - 128) scale, so that a token's bytes never depend on what
else is in the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bertsmith.compiled import vector_kernel

Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint16]
Bytes = npt.NDArray[np.uint8]

ZERO_POINT = 128
LARGEST = np.float32(127)
SMALLEST = np.float32(1e-20)  # of a row's largest magnitude: a row of zeros has a scale all the same
MIDDLE = np.float32(ZERO_POINT + 0.5)  # rounds to the nearest where the fraction is cut off
HALF, ONE = np.float32(0.5), np.float32(1)
LIMIT = np.float32(4)
MAGNITUDE, LOWER_HALF, SHIFT, LAST = np.uint32(0x7FFFFFFF), np.uint32(0x7FFF), np.uint32(16), np.uint32(1)

POLYNOMIALS: dict[str, Floats] = {
    "gelu": np.array(
        [
            0.3986732751903919,
            -0.06588765542596185,
            0.009505296781446008,
            -0.001006464227481631,
            7.485143228389667e-05,
            -3.6568586286763862e-06,
            1.041852631731235e-07,
            -1.3011228772575718e-09,
        ],
        dtype=np.float32,
    ),
    "gelu_tanh": np.array(
        [
            0.3986168401463049,
            -0.06609818372643347,
            0.009654208182399055,
            -0.001043292316391213,
            7.942144768967487e-05,
            -3.965737872895666e-06,
            1.1507955929692625e-07,
            -1.4584742860882911e-09,
        ],
        dtype=np.float32,
    ),
}
"""P of each activation, least squares weighted towards the least largest error, for |x| up to LIMIT."""


# --- whole matrices: (rows, width), changed or filled in place ---


@vector_kernel
def activate_rounded(states: Bits, polynomial: Floats) -> None:
    """states: bf16, replaced by their activations."""
    row = np.empty(states.shape[1], dtype=np.float32)
    bits = row.view(np.uint32)
    for r in range(states.shape[0]):
        _widen(states[r], bits)
        _activate(row, polynomial)
        _round(bits, states[r])


@vector_kernel
def add_norm_rounded(states: Bits, added: Bits, weight: Floats, bias: Floats, epsilon: np.float32) -> None:
    """states, added: bf16; states become LayerNorm(states + added), its statistics in single precision."""
    row, other = np.empty(states.shape[1], dtype=np.float32), np.empty(states.shape[1], dtype=np.float32)
    bits, other_bits = row.view(np.uint32), other.view(np.uint32)
    for r in range(states.shape[0]):
        _widen(states[r], bits)
        _widen(added[r], other_bits)
        _add(row, other)
        _normalise(row, weight, bias, epsilon)
        _round(bits, states[r])


@vector_kernel
def quantise(states: Floats, quantised: Bytes, scales: Floats) -> None:
    """states to bytes and one scale for each row."""
    for r in range(states.shape[0]):
        scales[r] = _quantise(states[r], states[r].view(np.uint32), quantised[r])


@vector_kernel
def quantise_rounded(states: Bits, quantised: Bytes, scales: Floats) -> None:
    """The same of states in bf16."""
    row = np.empty(states.shape[1], dtype=np.float32)
    bits = row.view(np.uint32)
    for r in range(states.shape[0]):
        _widen(states[r], bits)
        scales[r] = _quantise(row, bits, quantised[r])


@vector_kernel
def rescale(product: Bits, scales: Floats, bias: Floats) -> None:
    """A product of quantised rows, in bf16, becomes product scale + bias."""
    row = np.empty(product.shape[1], dtype=np.float32)
    bits = row.view(np.uint32)
    for r in range(product.shape[0]):
        _widen(product[r], bits)
        _rescale(row, scales[r], bias)
        _round(bits, product[r])


@vector_kernel
def activate_quantise(product: Bits, scales: Floats, quantised: Bytes, bias: Floats, polynomial: Floats) -> None:
    """activation(product scale + bias) to bytes; scales: those of the product before, those of the bytes after."""
    row = np.empty(product.shape[1], dtype=np.float32)
    bits = row.view(np.uint32)
    for r in range(product.shape[0]):
        _widen(product[r], bits)
        _rescale(row, scales[r], bias)
        _activate(row, polynomial)
        scales[r] = _quantise(row, bits, quantised[r])


@vector_kernel
def add_norm_quantise(
    states: Floats,
    product: Bits,
    scales: Floats,
    quantised: Bytes,
    added: Floats,
    weight: Floats,
    bias: Floats,
    epsilon: np.float32,
) -> None:
    """states become LayerNorm(states + product scale + added), and bytes; scales as in `activate_quantise`.

    added: the bias of the product. weight, bias: of LayerNorm.
    """
    row = np.empty(product.shape[1], dtype=np.float32)
    bits = row.view(np.uint32)
    for r in range(product.shape[0]):
        _widen(product[r], bits)
        _rescale(row, scales[r], added)
        _add(states[r], row)
        _normalise(states[r], weight, bias, epsilon)
        scales[r] = _quantise(states[r], states[r].view(np.uint32), quantised[r])


# --- single rows: each loop stands in a function of its own, as only so it becomes vector instructions ---


@vector_kernel
def _widen(source: Bits, bits: npt.NDArray[np.uint32]) -> None:
    for i in range(source.size):
        bits[i] = np.uint32(source[i]) << SHIFT


@vector_kernel
def _round(bits: npt.NDArray[np.uint32], target: Bits) -> None:
    """To the nearest bf16, ties to even."""
    for i in range(bits.size):
        target[i] = np.uint16((bits[i] + LOWER_HALF + ((bits[i] >> SHIFT) & LAST)) >> SHIFT)


@vector_kernel
def _rescale(row: Floats, scale: np.float32, bias: Floats) -> None:
    for i in range(row.size):
        row[i] = row[i] * scale + bias[i]


@vector_kernel
def _add(row: Floats, other: Floats) -> None:
    for i in range(row.size):
        row[i] += other[i]


@vector_kernel
def _activate(row: Floats, p: Floats) -> None:
    p0, p1, p2, p3, p4, p5, p6, p7 = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
    for i in range(row.size):
        x = row[i]
        z = x if x < LIMIT else LIMIT
        z = z if z > -LIMIT else -LIMIT
        t = z * z
        q = p0 + t * (p1 + t * (p2 + t * (p3 + t * (p4 + t * (p5 + t * (p6 + t * p7))))))
        row[i] = x * (HALF + z * q)


@vector_kernel
def _normalise(row: Floats, weight: Floats, bias: Floats, epsilon: np.float32) -> None:
    size = np.float32(row.size)
    total = np.float32(0)
    for i in range(row.size):
        total += row[i]
    mean = total / size
    squares = np.float32(0)
    for i in range(row.size):
        squares += (row[i] - mean) * (row[i] - mean)
    factor = ONE / np.sqrt(squares / size + epsilon)
    for i in range(row.size):
        row[i] = (row[i] - mean) * factor * weight[i] + bias[i]


@vector_kernel
def _quantise(row: Floats, bits: npt.NDArray[np.uint32], target: Bytes) -> Any:
    """Returns the scale. bits: those of the row; without the sign they are ordered as the magnitudes are."""
    largest = np.zeros(1, dtype=np.uint32)
    largest[0] = _largest(bits)
    magnitude = max(largest.view(np.float32)[0], SMALLEST)
    factor = LARGEST / magnitude
    for i in range(row.size):
        target[i] = np.uint8(np.int32(row[i] * factor + MIDDLE))
    return magnitude / LARGEST


@vector_kernel
def _largest(bits: npt.NDArray[np.uint32]) -> Any:
    largest = np.uint32(0)
    for i in range(bits.size):
        largest = max(largest, bits[i] & MAGNITUDE)
    return largest
