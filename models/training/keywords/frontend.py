"""One second of 8 kHz sound to a 49 x 40 log-mel picture of bytes. runtime/log-mel.ts computes the same; a test compares both."""
import functools
import math

import numpy as np
import torch
import torch.nn.functional as F

RATE, WINDOW, HOP, FRAMES, MELS, LOW_HZ, HIGH_HZ = 8000, 256, 160, 49, 40, 60, 3800
# Natural logarithm of (power + FLOOR) = SCALE * byte + OFFSET; the network sees (logarithm - MEAN) / STD.
FLOOR, SCALE, OFFSET, MEAN, STD = 1e-6, 0.1, -14.0, -7.0, 4.0
HANN = torch.hann_window(WINDOW)  # periodic
# Resampling: zero crossings of the sinc on each side, and the band kept of what the lower rate can hold.
ZEROS, ROLLOFF = 16, 0.95

PREPROCESSING = {
    "kind": "log-mel", "sampleRateHz": RATE, "windowSamples": WINDOW, "hopSamples": HOP, "frames": FRAMES, "mels": MELS,
    "lowHz": LOW_HZ, "highHz": HIGH_HZ, "floor": FLOOR, "scale": SCALE, "offset": OFFSET, "mean": MEAN, "std": STD,
}


def mel_filters() -> torch.Tensor:
    """Triangles of height 1 on the mel scale 2595 log10(1 + f / 700); [WINDOW / 2 + 1, MELS]."""
    to_mel, to_hz = (lambda f: 2595 * np.log10(1 + f / 700)), (lambda m: 700 * (10 ** (m / 2595) - 1))
    points = to_hz(np.linspace(to_mel(LOW_HZ), to_mel(HIGH_HZ), MELS + 2))
    hz = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    left, centre, right = points[:-2], points[1:-1], points[2:]
    rising, falling = (hz[:, None] - left) / (centre - left), (right - hz[:, None]) / (right - centre)
    return torch.from_numpy(np.maximum(0, np.minimum(rising, falling)).astype(np.float32))


FILTERS = mel_filters()


def log_mel(waves: torch.Tensor) -> torch.Tensor:
    """float [samples, RATE], full scale 1, to natural logarithms [samples, 1, FRAMES, MELS]."""
    spectrum = torch.stft(waves, WINDOW, HOP, WINDOW, HANN, center=False, return_complex=True)
    return ((spectrum.abs().pow(2).transpose(1, 2) @ FILTERS) + FLOOR).log()[:, None]


def to_codes(logs: torch.Tensor) -> torch.Tensor:
    """The bytes that travel."""
    return ((logs - OFFSET) / SCALE + 0.5).floor().clamp(0, 255).to(torch.uint8)


def normalise(codes: torch.Tensor) -> torch.Tensor:
    """What the network reads."""
    return codes.float() * (SCALE / STD) + (OFFSET - MEAN) / STD


@functools.lru_cache
def sinc_kernels(down: int, up: int) -> tuple:
    """One kernel per phase [up, taps], and how far they reach to the left."""
    cutoff = min(1.0, up / down) * ROLLOFF
    half = math.ceil(ZEROS / cutoff)
    offsets = np.arange(-half, half + down + 1)[None] - np.arange(up)[:, None] * down / up
    window = np.where(np.abs(offsets * cutoff) < ZEROS, np.cos(np.pi * offsets * cutoff / ZEROS / 2) ** 2, 0)
    return torch.from_numpy((cutoff * np.sinc(offsets * cutoff) * window).astype(np.float32)), half


def resample(x: np.ndarray, rate: int) -> np.ndarray:
    """To RATE by a Hann-windowed sinc; as it is where the rates are equal. runtime/resample.ts computes the same."""
    if rate == RATE:
        return x
    common = math.gcd(rate, RATE)
    down, up = rate // common, RATE // common
    kernels, half = sinc_kernels(down, up)
    padded = F.pad(torch.from_numpy(np.asarray(x, np.float32)), (half, half + 2 * down))
    blocks = F.conv1d(padded[None, None], kernels[:, None], stride=down)[0]
    return blocks.T.reshape(-1)[: -(-len(x) * up // down)].numpy()
