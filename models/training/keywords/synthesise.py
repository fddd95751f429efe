"""Synthetic speech: 20 words and words that are none of them, 8 kHz: python -m keywords.synthesise --out FOLDER (from models/training).

Engines: espeak-ng (its library, by ctypes: a process per clip would take minutes), flite and festival (commands). No
recording of a person is trained on. Variants of espeak-ng never cross splits, nor do variants of one base name:

    train       two thirds of the espeak-ng variants; flite kal, kal16, awb; festival kal, ked
    validation  other espeak-ng variants, and flite rms: built from recordings of a person, a voice training never heard
    test        yet other espeak-ng variants
    voice       slt, by flite and by festival: a speaker nobody else in the corpus resembles; reported apart
    human       24 clips of one person, from the prompts of a telephone exchange; a sanity check, reported apart

Words that are none of the 20 differ between train, validation and the rest. The same packages give the same clips.
"""
import argparse
import collections
import ctypes
import ctypes.util
import glob
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import wave

import numpy as np

from common.manifest import debian_version
from keywords.frontend import RATE, resample

PACKAGES = [
    "espeak-ng-data", "libespeak-ng1", "flite", "festival", "festvox-kallpc16k", "festvox-kdlpc16k", "festvox-us-slt-hts",
]
HUMAN_PACKAGE = "asterisk-core-sounds-en-wav"
KEYWORDS = "zero one two three four five six seven eight nine yes no up down left right on off stop go".split()
UNKNOWN = {
    "train": (
        "bed bird cat dog happy house marble shelter tree wow backward forward follow learn visual paper window orange garden "
        "river silver market doctor table summer bottle engine winter music camera people yellow number never maybe listen "
        "finger pencil mountain water coffee open close"
    ).split(),
    "validation": "play light door lamp fan hot cold start news bright sun moon kitchen sugar blanket corner".split(),
    "test": (
        "planet dinner button flower guitar island jacket ladder mirror needle office pocket rabbit school ticket valley wagon "
        "zebra bridge candle dragon empty forest hammer picture record bus note fight tent born thrive mix"
    ).split(),
}
UNKNOWN["voice"] = UNKNOWN["test"]
HUMAN_UNKNOWN = (
    "hello activated digits/hundred digits/thousand digits/million digits/today digits/tomorrow digits/yesterday "
    "digits/dollars digits/minus letters/slash letters/dash letters/equals letters/plus"
).split()
UNKNOWN_PER_READING = {"train": 8, "validation": 5, "test": 5, "voice": 5}
READINGS = {"train": 5, "validation": 4, "test": 4}
ACCENTS = ["en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-us-nyc"]
MORE_ACCENTS = ["en-gb-x-gbclan", "en-gb-x-gbcwmd"]  # never trained on
LEFT_OUT = ("fast", "max", "Mr serious", "anikaRobot")
FLITE = [("kal16", "train", 10), ("awb", "train", 14), ("kal", "train", 4), ("rms", "validation", 14), ("slt", "voice", 6)]
FESTIVAL = [("kal_diphone", "train", 5), ("ked_diphone", "train", 8), ("cmu_us_slt_arctic_hts", "voice", 4)]
LONGEST = RATE * 3 // 2
SEED = 3
# From espeak-ng's speak_lib.h.
SYNCHRONOUS, RATE_PARAMETER, PITCH_PARAMETER, RANGE_PARAMETER, UTF8 = 2, 1, 3, 4, 1


def debian_folder(package: str, *parts: str) -> str | None:
    """The folder of an installed package whose path ends in `parts`."""
    try:
        listing = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return next((line for line in listing.splitlines() if line.endswith("/".join(["", *parts]))), None)


def require_engines() -> None:
    """Ends the program with status 2 and the remedy when an engine or a voice is missing."""
    missing = [package for package in PACKAGES if debian_version(package) in ("unknown", "")]
    missing += [name for name in ("flite", "festival") if shutil.which(name) is None and name not in missing]
    if missing:
        print(f"Speech engines or voices are missing: {', '.join(missing)}.", file=sys.stderr)
        print(f"Install the Debian packages: apt-get install --no-install-recommends {' '.join(PACKAGES)}", file=sys.stderr)
        sys.exit(2)


def tidy(samples: np.ndarray, rate: int) -> np.ndarray | None:
    """8 kHz, silence trimmed, peak normalised, at most 1.5 s. None where there is nothing to hear."""
    x = np.asarray(resample(np.asarray(samples, np.float32), rate), np.float64)
    if len(x) == 0 or np.abs(x).max() < 50:
        return None
    envelope = np.convolve(np.abs(x), np.ones(80) / 80, "same")
    loud = np.flatnonzero(envelope > 0.02 * envelope.max())
    x = x[max(0, loud[0] - 160) : loud[-1] + 240]
    x = (x / np.abs(x).max() * 24000)[:LONGEST].astype(np.int16)
    return x if len(x) > 600 else None


def read_wave(path: str) -> tuple:
    with wave.open(path) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return samples[:: file.getnchannels()], file.getframerate()


class Espeak:
    """espeak-ng's library, called synchronously."""

    def __init__(self):
        name = ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1"
        self.speech, self.heard = ctypes.CDLL(name), []
        self.rate = self.speech.espeak_Initialize(SYNCHRONOUS, 0, None, 0)

        @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        def on_samples(samples, count, _events):
            if samples and count > 0:
                self.heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
            return 0

        self.on_samples = on_samples  # the library keeps only a pointer
        self.speech.espeak_SetSynthCallback(on_samples)

    def say(self, word: str, voice: str, rate: int, pitch: int, pitch_range: int) -> np.ndarray | None:
        if self.speech.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice}")
        for parameter, value in ((RATE_PARAMETER, rate), (PITCH_PARAMETER, pitch), (RANGE_PARAMETER, pitch_range)):
            self.speech.espeak_SetParameter(parameter, value, 0)
        self.heard.clear()
        text = word.encode() + b"\0"
        self.speech.espeak_Synth(text, len(text), 0, 1, 0, UTF8, None, None)
        self.speech.espeak_Synchronize()
        return tidy(np.concatenate(self.heard), self.rate) if self.heard else None


def base_name(variant: str) -> str:
    """robosoft1 to robosoft8 are one voice; f1, f2, m1, m2 are not."""
    return variant if variant[0] in "fm" and variant[1:].isdigit() else variant.rstrip("0123456789")


def words_for(split: str, rng: random.Random) -> list:
    return KEYWORDS + rng.sample(UNKNOWN[split], UNKNOWN_PER_READING[split])


def espeak_clips(rng: random.Random):
    folder = debian_folder("espeak-ng-data", "voices", "!v")
    variants = sorted(os.path.basename(path) for path in glob.glob(os.path.join(glob.escape(folder or ""), "*")))
    variants = [variant for variant in variants if variant not in LEFT_OUT]
    bases = sorted({base_name(variant) for variant in variants})
    rng.shuffle(bases)
    fifth, third = int(0.2 * len(bases)), int(0.32 * len(bases))
    splits = {base: "test" if i < fifth else "validation" if i < third else "train" for i, base in enumerate(bases)}
    engine = Espeak()
    for variant in variants:
        split = splits[base_name(variant)]
        for _ in range(READINGS[split]):
            accent = rng.choice(ACCENTS if split == "train" else ACCENTS + MORE_ACCENTS)
            rate, pitch, pitch_range = rng.randint(110, 230), rng.randint(20, 80), rng.randint(20, 80)
            for word in words_for(split, rng):
                yield split, f"espeak-ng {variant}", word, engine.say(word, f"{accent}+{variant}", rate, pitch, pitch_range)


def flite_clips(rng: random.Random, folder: str):
    path = os.path.join(folder, "flite.wav")
    for voice, split, readings in FLITE:
        for _ in range(readings):
            stretch = round(rng.uniform(0.8, 1.35), 2)
            pitch = rng.randint(150, 220) if voice == "slt" else rng.randint(85, 150)
            how = ["--setf", f"duration_stretch={stretch}", "--setf", f"int_f0_target_mean={pitch}"]
            for word in words_for(split, rng):
                subprocess.run(["flite", "-voice", voice, "-t", word, "-o", path, *how], check=True, stdout=subprocess.DEVNULL)
                yield split, f"flite {voice}", word, tidy(*read_wave(path))


def festival_clips(rng: random.Random, folder: str):
    """One Scheme program makes all clips."""
    pending, script = [], []
    for voice, split, readings in FESTIVAL:
        for _ in range(readings):
            stretch, pitch = round(rng.uniform(0.8, 1.35), 2), rng.randint(85, 150)
            script.append(f"(voice_{voice})\n(Parameter.set 'Duration_Stretch {stretch})")
            if "hts" not in voice:
                pitches = f"(target_f0_mean {pitch}) (target_f0_std 14) (model_f0_mean 170) (model_f0_std 34)"
                script.append(f"(set! int_lr_params '({pitches}))")
            for word in words_for(split, rng):
                path = os.path.join(folder, f"festival{len(pending)}.wav")
                script.append(f'(set! u (utt.synth (Utterance Text "{word}")))\n(utt.save.wave u "{path}" \'riff)')
                pending.append((split, f"festival {voice}", word, path))
    program = os.path.join(folder, "all.scm")
    with open(program, "w") as file:
        file.write("\n".join(script))
    subprocess.run(["festival", "-b", program], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for split, voice, word, path in pending:
        yield split, voice, word, tidy(*read_wave(path))


def human_clips():
    """Nothing where the package is not installed: the check is optional."""
    digits = debian_folder(HUMAN_PACKAGE, "digits")
    if digits is None:
        print(f"without {HUMAN_PACKAGE}: no human check", flush=True)
        return
    root = os.path.dirname(digits)
    for digit, word in enumerate(KEYWORDS[:10]):
        yield "human", "human", word, tidy(*read_wave(os.path.join(root, f"digits/{digit}.wav")))
    for name in HUMAN_UNKNOWN:
        yield "human", "human", os.path.basename(name), tidy(*read_wave(os.path.join(root, f"{name}.wav")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for clips.npz and clips.json (not for the repository)")
    arguments = parser.parse_args()
    require_engines()
    os.makedirs(arguments.out, exist_ok=True)
    started, clips = time.time(), []
    with tempfile.TemporaryDirectory() as folder:
        makers = {
            "espeak-ng": espeak_clips(random.Random(f"espeak-ng {SEED}")),
            "flite": flite_clips(random.Random(f"flite {SEED}"), folder),
            "festival": festival_clips(random.Random(f"festival {SEED}"), folder),
            "human": human_clips(),
        }
        for name, made in makers.items():
            clips += [clip for clip in made if clip[3] is not None]
            print(f"{name}: {len(clips)} clips after {time.time() - started:.0f} s", flush=True)
    splits, voices, words, sounds = zip(*clips)
    samples, offsets = np.concatenate(sounds), np.cumsum([0, *map(len, sounds)])
    path = os.path.join(arguments.out, "clips.npz")
    np.savez(path, samples=samples, offsets=offsets, splits=np.array(splits), voices=np.array(voices), words=np.array(words))
    about = {
        "packages": {package: debian_version(package) for package in [*PACKAGES, HUMAN_PACKAGE]},
        "seed": SEED,
        "clips": dict(collections.Counter(splits)),
        "voices": {split: sorted({v for s, v in zip(splits, voices) if s == split}) for split in dict.fromkeys(splits)},
        "sha256": hashlib.sha256(samples.tobytes()).hexdigest(),
    }
    with open(os.path.join(arguments.out, "clips.json"), "w") as file:
        json.dump(about, file, indent=2)
    print(about["clips"], about["sha256"], f"mean {len(samples) / len(clips) / RATE:.2f} s")


if __name__ == "__main__":
    main()
