"""From clips to what the networks learn from and are judged by: python -m keywords.prepare --data FOLDER (from models/training).

Training: COPIES degraded log-mels of every clip, as bytes. The other splits: whole seconds of 16-bit sound, each clip
once clean and once in noise of 5 to 20 dB, 5 % of the noisy ones without speech; the human clips clean only. Everything
that decides accuracy (place, noise, level) is fixed here by seed, so that all who read the files judge the same sounds.
"""
import argparse
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from keywords.frontend import RATE, log_mel, to_codes
from keywords.synthesise import KEYWORDS

LABELS = [*KEYWORDS, "unknown", "silence"]
UNKNOWN, SILENCE = LABELS.index("unknown"), LABELS.index("silence")
COPIES, NOISES, BATCH, SILENT = 4, 2400, 96, 0.05
HELD_OUT = ["validation", "test", "voice"]


class Clips:
    """What keywords.synthesise wrote."""

    def __init__(self, folder: str):
        data = np.load(os.path.join(folder, "clips.npz"))
        self.samples = data["samples"].astype(np.float32) / 32768
        self.offsets, self.splits, self.voices = data["offsets"], data["splits"], data["voices"]
        self.labels = np.array([LABELS.index(w) if w in KEYWORDS else UNKNOWN for w in data["words"]])

    def rows(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.splits == split)

    def clip(self, row: int) -> np.ndarray:
        return self.samples[self.offsets[row] : self.offsets[row + 1]]


def make_noise(count: int, clips: Clips, speech: np.ndarray, rng) -> torch.Tensor:
    """White, coloured, hum with clicks, or babble of reversed clips among `speech`; unit power."""
    kind = rng.integers(4)
    if kind == 0:
        z = rng.standard_normal((count, RATE))
    elif kind == 1:
        spectrum = np.fft.rfft(rng.standard_normal((count, RATE)))
        z = np.fft.irfft(spectrum / np.maximum(np.arange(RATE // 2 + 1), 20)[None] ** rng.uniform(0.3, 1.1), RATE)
    elif kind == 2:
        t = np.arange(RATE) / RATE
        z = sum(rng.random((count, 1)) * np.sin(2 * np.pi * 50 * h * t + rng.random((count, 1)) * 6) for h in range(1, 9))
        z = z + 3 * rng.standard_normal((count, RATE)) * (rng.random((count, RATE)) < 0.01)
        z = z + 0.05 * rng.standard_normal((count, RATE))
    else:
        z = 0.01 * rng.standard_normal((count, RATE))
        for row in range(count):
            for voice in rng.choice(speech, 5):
                backwards, start = clips.clip(voice)[::-1], rng.integers(0, RATE)
                end = min(RATE, start + len(backwards))
                z[row, start:end] += backwards[: end - start]
    z = torch.from_numpy(np.ascontiguousarray(z)).float()
    return z / z.pow(2).mean(1, keepdim=True).sqrt().clamp(min=1e-5)


def reverberate(waves: torch.Tensor, rng) -> torch.Tensor:
    count, t = len(waves), np.arange(1200) / RATE
    decay = np.exp(-t[None] / rng.uniform(0.01, 0.12, (count, 1))) * rng.uniform(0.01, 0.15, (count, 1))
    impulse = rng.standard_normal((count, 1200)) * decay
    impulse[:, 0] = 1
    spectrum = torch.fft.rfft(torch.from_numpy(impulse).float(), 9216)
    return torch.fft.irfft(torch.fft.rfft(waves, 9216) * spectrum, 9216)[:, :RATE]


def equalise(waves: torch.Tensor, rng) -> torch.Tensor:
    """A smooth random gain over frequency: 8 knots, sigma 3 dB."""
    knots = torch.from_numpy(rng.standard_normal((len(waves), 1, 8)) * 3).float()
    decibels = F.interpolate(knots, size=RATE // 2 + 1, mode="linear", align_corners=True)[:, 0]
    return torch.fft.irfft(torch.fft.rfft(waves) * 10 ** (decibels / 20), RATE)


def place(rows: np.ndarray, clips: Clips, rng, stretch: bool) -> tuple:
    """Each clip somewhere in a second of silence, perhaps faster or slower; and its loudness."""
    waves, loudness = torch.zeros(len(rows), RATE), torch.zeros(len(rows), 1)
    for at, row in enumerate(rows):
        sound = torch.from_numpy(clips.clip(row))
        if stretch:
            size = int(len(sound) * rng.uniform(0.78, 1.28))
            sound = F.interpolate(sound[None, None], size=size, mode="linear", align_corners=False)[0, 0]
        sound = sound[:RATE]
        start = rng.integers(0, RATE - len(sound) + 1)
        waves[at, start : start + len(sound)] = sound
        loudness[at] = sound.pow(2).mean().sqrt()
    return waves, loudness


def add_noise(waves, y, loudness, noise, decibels, rng) -> torch.Tensor:
    """Removes the speech of a few, adds noise so many decibels below the speech, changes the level."""
    silent = torch.from_numpy(rng.random(len(waves)) < SILENT)
    y[silent], waves[silent] = SILENCE, 0
    waves = waves + noise * loudness * 10 ** (-torch.from_numpy(decibels).float() / 20)
    return waves * 10 ** (torch.from_numpy(rng.uniform(-20, 3, (len(waves), 1))).float() / 20)


def training_set(clips: Clips) -> tuple:
    """Degraded copies: bytes [samples, 1, FRAMES, MELS] and labels. Clips of the engines with few voices count three times."""
    rng, rows = np.random.default_rng(2), clips.rows("train")
    few = rows[[not voice.startswith("espeak-ng") for voice in clips.voices[rows]]]
    noises = torch.cat([make_noise(16, clips, rows, rng) for _ in range(NOISES // 16)])
    every = np.concatenate([rows, few, few])
    order = np.concatenate([rng.permutation(every) for _ in range(COPIES)])
    codes, labels = [], []
    for first in range(0, len(order), BATCH):
        part = order[first : first + BATCH]
        y = torch.from_numpy(clips.labels[part].copy())
        waves, loudness = place(part, clips, rng, stretch=True)
        third = len(part) // 3
        waves[:third] = reverberate(waves[:third], rng)
        noise = torch.roll(noises[rng.integers(0, len(noises), len(part))], int(rng.integers(0, RATE)), 1)
        waves = add_noise(equalise(waves, rng), y, loudness, noise, rng.uniform(3, 40, (len(part), 1)), rng)
        codes.append(to_codes(log_mel(waves.clamp(-1, 1))).numpy())
        labels.append(y.numpy())
    return np.concatenate(codes), np.concatenate(labels)


def seconds_of(clips: Clips, split: str, noisy: bool) -> tuple:
    """int16 [samples, RATE] and labels. Degraded in batches: one draw for all would try few kinds of noise only."""
    rng, rows, speech = np.random.default_rng(11), clips.rows(split), clips.rows("train")
    waves, labels = [], []
    for first in range(0, len(rows), BATCH):
        part = rows[first : first + BATCH]
        y = torch.from_numpy(clips.labels[part].copy())
        x, loudness = place(part, clips, rng, stretch=False)
        if noisy:
            noise = torch.cat([make_noise(len(quarter), clips, speech, rng) for quarter in torch.arange(len(part)).chunk(4)])
            x = add_noise(x, y, loudness, noise, rng.uniform(5, 20, (len(part), 1)), rng)
        waves.append((x.clamp(-1, 1) * 32767).round().short().numpy())
        labels.append(y.numpy())
    return np.concatenate(waves), np.concatenate(labels)


def codes_of(waves: np.ndarray) -> np.ndarray:
    """Bytes of whole seconds of 16-bit sound."""
    parts = [waves[i : i + 500].astype(np.float32) / 32768 for i in range(0, len(waves), 500)]
    return np.concatenate([to_codes(log_mel(torch.from_numpy(part))).numpy() for part in parts])


def read_training(folder: str) -> tuple:
    data = np.load(os.path.join(folder, "train.npz"))
    return torch.from_numpy(data["codes"]), torch.from_numpy(data["labels"])


def read_split(folder: str, split: str) -> tuple:
    """int16 [samples, RATE] and int64 [samples]; the clean half comes first."""
    waves = np.fromfile(os.path.join(folder, f"{split}.s16"), "<i2").reshape(-1, RATE)
    return waves, np.fromfile(os.path.join(folder, f"{split}.labels"), np.uint8).astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="the folder keywords.synthesise wrote to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started, clips = time.time(), Clips(arguments.data)
    for split in [*HELD_OUT, "human"]:
        parts = [seconds_of(clips, split, noisy) for noisy in ((False,) if split == "human" else (False, True)) if len(clips.rows(split))]
        if not parts:
            continue
        waves, labels = (np.concatenate(arrays) for arrays in zip(*parts))
        waves.astype("<i2").tofile(os.path.join(arguments.data, f"{split}.s16"))
        labels.astype(np.uint8).tofile(os.path.join(arguments.data, f"{split}.labels"))
        print(f"{split}: {len(labels)} after {time.time() - started:.0f} s", flush=True)
    codes, labels = training_set(clips)
    np.savez(os.path.join(arguments.data, "train.npz"), codes=codes, labels=labels)
    print(f"train: {len(labels)} after {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
