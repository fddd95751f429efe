"""Cut tensors on the wire, the same scheme as runtime/tensor-packing.ts: their bytes, and the accuracy they cost.

8- or 4-bit codes with one scale and one zero per sample, deflated where that is smaller. 8 bits span all values; 4 bits
the middle 99.9 % on each side (nearest rank), the rest is clipped. The range always holds 0, and 0 stays exact.
"""
import math
import zlib

import numpy as np

from common.ladder_files import resumed_by, run_rungs

MIDDLE = 0.999
COUNTED = 150  # samples whose packed bytes are averaged, from all over the split


def encode(values: np.ndarray, bits: int) -> tuple:
    """Codes uint8 [samples, values], scale and zero [samples, 1], of values float32 [samples, values]."""
    if bits == 8:
        low, high = values.min(1), values.max(1)
    else:
        rank = math.ceil(MIDDLE * values.shape[1]) - 1
        ordered = np.sort(values, 1)
        low, high = ordered[:, -1 - rank], ordered[:, rank]
    low, high = np.minimum(low, 0).astype(np.float64)[:, None], np.maximum(high, 0).astype(np.float64)[:, None]
    scale = (high - low) / (2**bits - 1)
    divisor = np.where(scale == 0, 1, scale)
    zero = np.floor(-low / divisor + 0.5)
    codes = np.clip(np.floor(values / divisor + 0.5) + zero, 0, 2**bits - 1).astype(np.uint8)
    return codes, scale, zero


def decode(codes: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    return ((codes - zero) * scale).astype(np.float32)


def packed_bytes(features: np.ndarray, bits: int) -> int:
    """Mean size of about COUNTED samples; features are [samples, ...]."""
    sizes = []
    counted = features[:: max(1, len(features) // COUNTED)]
    codes, _, _ = encode(counted.reshape(len(counted), -1), bits)
    for sample in codes:
        if bits == 4:
            sample = np.append(sample, np.zeros(len(sample) % 2, np.uint8))
            sample = (sample[0::2] << 4) | sample[1::2]
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        sizes.append(min(sample.size, len(deflate.compress(sample.tobytes()) + deflate.flush())))
    return round(float(np.mean(sizes)))


def cut_record(paths: list, rungs: list, k: int, features: np.ndarray, logits: list, y: np.ndarray) -> dict:
    """What app.json says of the cut after rung k: shape, bytes, and the points of accuracy lost on the validation split.

    `features` and `logits` (of every rung) are what the files answer with when nothing is packed. Lost is the worst over
    the rungs that resume from there, directly or not; 0 where none of them loses any.
    """
    lost = {}
    for name, bits in (("u8", 8), ("u4", 4)):
        restored = decode(*encode(features.reshape(len(features), -1), bits)).reshape(features.shape)
        again = run_rungs(paths, rungs, {k: restored}, resumed_by(rungs, k))
        lost[name] = max(0.0, *(round(100 * float((logits[j].argmax(1) == y).mean() - (z.argmax(1) == y).mean()), 2) for j, z in again.items()))
    shape = features.shape[1:]
    return {
        "shape": list(shape),
        "bytes": {"f32": int(np.prod(shape)) * 4, "u8": packed_bytes(features, 8), "u4": packed_bytes(features, 4)},
        "lostPoints": lost,
    }
