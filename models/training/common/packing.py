"""Bytes of a cut tensor on the wire: 8- or 4-bit codes with one scale per sample, deflated. The same scheme as runtime/tensor-packing.ts."""
import zlib

import numpy as np


def packed_bytes(features: np.ndarray, bits: int) -> int:
    """Mean size over samples, deflated where that is smaller; features are [samples, ...]."""
    sizes = []
    for sample in features.reshape(len(features), -1):
        low, top = (sample.min(), sample.max()) if bits == 8 else np.quantile(sample, (0.001, 0.999))
        scale = max((top - min(low, 0)) / (2**bits - 1), 1e-8)
        zero = np.round(-min(low, 0) / scale)
        codes = np.clip(np.round(sample / scale) + zero, 0, 2**bits - 1).astype(np.uint8)
        if bits == 4:
            codes = (codes[0::2] << 4) | codes[1::2]
        sizes.append(min(codes.size, len(zlib.compress(codes.tobytes(), 6))))
    return round(float(np.mean(sizes)))
