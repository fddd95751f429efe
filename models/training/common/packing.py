"""Bytes of a cut tensor on the wire: 8- or 4-bit codes with one scale per sample, deflated. The same scheme as runtime/tensor-packing.ts."""
import zlib

import numpy as np


def packed_bytes(features: np.ndarray, bits: int) -> int:
    """Mean deflated size over samples; features are [samples, ...], at least 0 after a ReLU or shifted to be."""
    sizes = []
    for sample in features.reshape(len(features), -1):
        top = sample.max() if bits == 8 else np.quantile(sample, 0.999)
        codes = np.clip(np.round(sample / max(top / (2**bits - 1), 1e-8)), 0, 2**bits - 1).astype(np.uint8)
        if bits == 4:
            codes = (codes[0::2] << 4) | codes[1::2]
        sizes.append(len(zlib.compress(codes.tobytes(), 6)))
    return round(float(np.mean(sizes)))
