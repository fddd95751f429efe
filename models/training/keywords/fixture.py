"""Writes test/fixtures/log-mel: python -m keywords.fixture --data FOLDER (from models/training).

One held-out sound as a WAV file of another rate, and what the training front end makes of it; runtime/log-mel.ts is
tested against that.
"""
import argparse
import json
import os
import wave

import numpy as np
import torch

from keywords.frontend import PREPROCESSING, RATE, log_mel, resample, to_codes
from keywords.prepare import Clips

TARGET = os.path.join(os.path.dirname(__file__), "..", "..", "..", "test", "fixtures", "log-mel")
SECOND_RATE = 11025


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder keywords.synthesise wrote to")
    clips = Clips(parser.parse_args().data)
    sound = clips.clip(int(clips.rows("test")[0]))[:RATE]
    second = np.zeros(RATE, np.float32)
    second[1600 : 1600 + len(sound)] = sound[: RATE - 1600]
    # A quiet tone, so that no frame is digital silence.
    second += 0.003 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    samples = np.clip(np.round(second * 32768), -32768, 32767).astype("<i2")
    logs = log_mel(torch.from_numpy(samples.astype(np.float32) / 32768)[None])
    # The same samples taken as sound of another rate.
    resampled = resample(samples.astype(np.float32) / 32768, SECOND_RATE)
    os.makedirs(TARGET, exist_ok=True)
    with wave.open(os.path.join(TARGET, "word.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    expected = {
        "preprocessing": PREPROCESSING,
        "codes": to_codes(logs).flatten().tolist(),
        "logs": [round(float(v), 5) for v in logs.flatten()],
        "resampled": {"from": SECOND_RATE, "to": RATE, "samples": [round(float(v), 6) for v in resampled[1000:2000]], "first": 1000},
    }
    with open(os.path.join(TARGET, "word.json"), "w") as file:
        json.dump(expected, file)
        file.write("\n")


if __name__ == "__main__":
    main()
