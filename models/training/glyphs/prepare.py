"""Renders the fonts of the Debian packages in packages.txt: python -m glyphs.prepare [--out FOLDER] (from models/training).

Writes glyphs.npz (clean training images; validation and test images through the simulated camera; labels; which font is
in which split) and validation and test once more as two IDX files each, which splits.ts reads. Only those packages are read,
whatever else is installed, and every draw is seeded: the same package versions and FreeType give the same bytes.

Whole families are held out. A family is the first word of its name, so that a foundry's variants stay together, and
families that hold nearly the same drawings under different names (metric clones, extended versions) count as one.
"""
import argparse
import collections
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import torch
from fontTools.ttLib import TTFont
from PIL import Image, ImageFont

from common.manifest import debian_version, sha256
from glyphs.data import CHARACTERS, DEFAULT_FOLDER, FILE, LABELS, SAME_SHAPE, SIZE, SPLITS, camera

PACKAGES = os.path.join(os.path.dirname(__file__), "packages.txt")
NOT_TEXT = re.compile(r"symbol|emoji|barcode|dingbat|awesome|icon|math|braille|music|redacted|blank|staff|cypher|rune|invis", re.I)
MOST_PER_FAMILY = 16
FEWEST_DIFFERENT = 50  # of 62 drawings; fewer means capitals only, or one box for everything
BOX = 20  # pixels of a glyph's longer side
CLONE_RMS = 0.1  # fonts closer than this over all glyphs, grey in 0–1, are one design: Carlito is .095 from Lato
MOST_PER_DESIGN = 32
TEST, VALIDATION = 0.22, 0.16  # shares of families, by a hash of the name
SEED = 2026


def read_packages() -> list:
    """Names in packages.txt. Ends the program with status 2 and the remedy when some are not installed."""
    with open(PACKAGES) as file:
        names = file.read().split()
    lines = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names], capture_output=True, text=True)
    missing = sorted(set(names) - {line.split()[0] for line in lines.stdout.splitlines() if line.endswith(" installed")})
    if missing:
        print(f"{len(missing)} font packages are missing: {' '.join(missing)}.", file=sys.stderr)
        print("Install them: apt-get install --no-install-recommends $(cat glyphs/packages.txt)", file=sys.stderr)
        sys.exit(2)
    return names


def font_files(package: str) -> list:
    listing = subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True, check=True).stdout
    return sorted({os.path.realpath(p) for p in listing.splitlines() if p.lower().endswith((".ttf", ".otf"))})


def render(font: ImageFont.FreeTypeFont, character: str):
    """White on black, the longer side 20 pixels, centred in 28x28; None where the font draws nothing."""
    mask = font.getmask(character, mode="L")
    if min(mask.size) < 2:
        return None
    glyph = Image.frombytes("L", mask.size, bytes(mask))
    glyph = glyph.crop(glyph.getbbox() or (0, 0, 1, 1))
    scale = BOX / max(glyph.size)
    glyph = glyph.resize([max(1, round(side * scale)) for side in glyph.size], Image.Resampling.LANCZOS)
    canvas = Image.new("L", (SIZE, SIZE), 0)
    canvas.paste(glyph, tuple((SIZE - side) // 2 for side in glyph.size))
    return np.asarray(canvas)


def read_font(path: str) -> tuple:
    """Family name and 62 drawings; raises ValueError with the reason where the font cannot serve."""
    with TTFont(path, lazy=True, fontNumber=0) as font:
        family = font["name"].getBestFamilyName() or ""
        mapping = font.getBestCmap() or {}
    if not family or NOT_TEXT.search(family):
        raise ValueError("not a text face")
    if len({mapping.get(ord(c)) for c in CHARACTERS} - {None}) < len(CHARACTERS) - 1:
        raise ValueError("characters missing")
    font = ImageFont.truetype(path, 48, layout_engine=ImageFont.Layout.BASIC)
    glyphs = [render(font, c) for c in CHARACTERS]
    if any(g is None for g in glyphs):
        raise ValueError("not rendered")
    if len({g.tobytes() for g in glyphs}) < FEWEST_DIFFERENT:
        raise ValueError("glyphs repeat")
    return family, np.stack(glyphs)


def read_fonts(packages: list) -> tuple:
    """Records {package, file, family} and drawings [fonts, 62, 28, 28] of all usable fonts."""
    records, drawings, rejected, per_family = [], [], collections.Counter(), collections.Counter()
    for package in packages:
        for path in font_files(package):
            try:
                family, glyphs = read_font(path)
            except ValueError as error:
                rejected[str(error)] += 1
                continue
            except Exception:  # broken font files fail in many ways inside two libraries; all are skipped and counted
                rejected["unreadable"] += 1
                continue
            key = re.split(r"[\s\d_-]", family.strip().lower())[0] or family.lower()
            if per_family[key] >= MOST_PER_FAMILY:
                rejected[f"more than {MOST_PER_FAMILY} of a family"] += 1
                continue
            per_family[key] += 1
            records.append({"package": package, "file": path, "family": key})
            drawings.append(glyphs)
    print(f"{len(records)} fonts, {len(per_family)} families; rejected: {dict(rejected)}")
    return records, np.stack(drawings)


def join_clones(records: list, drawings: np.ndarray) -> dict:
    """For each family the alphabetically first family it shares a design with, directly or through others."""
    flat = torch.from_numpy(drawings).float().div(255).flatten(1)
    rms = torch.cdist(flat, flat) / flat.shape[1] ** 0.5
    leader = {record["family"]: record["family"] for record in records}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for i, j in torch.nonzero(torch.triu(rms < CLONE_RMS, 1)).tolist():
        first, second = sorted([find(records[i]["family"]), find(records[j]["family"])])
        leader[second] = first
    return {name: find(name) for name in leader}


def limit_designs(designs: list) -> list:
    """Row numbers that leave at most MOST_PER_DESIGN fonts of a design, evenly spaced over those it has."""
    kept = []
    for design in sorted(set(designs)):
        rows = [i for i, other in enumerate(designs) if other == design]
        step = max(1.0, len(rows) / MOST_PER_DESIGN)
        kept += [rows[int(k * step)] for k in range(min(len(rows), MOST_PER_DESIGN))]
    return sorted(kept)


def licences(package: str) -> list:
    """The licences its copyright file names for anything but the packaging; empty where it names none in that format."""
    with open(f"/usr/share/doc/{package}/copyright", errors="replace") as file:
        stanzas = re.split(r"\n\s*\n", file.read())
    ours = [s for s in stanzas if s.startswith("Files:") and not s.startswith("Files: debian/")]
    return sorted({match.strip() for s in ours for match in re.findall(r"^License:[ \t]*(\S.*)$", s, re.M)})


def describe_packages(records: list) -> dict:
    """Per package that gave fonts: version, licences, how many fonts, and one hash over those font files in order."""
    described = {}
    for package in sorted({record["package"] for record in records}):
        files = [record["file"] for record in records if record["package"] == package]
        digest = hashlib.sha256("".join(sha256(path) for path in files).encode()).hexdigest()
        described[package] = {"version": debian_version(package), "licences": licences(package), "fonts": len(files), "sha256": digest}
    return described


def split_of(design: str) -> str:
    share = int(hashlib.sha256(design.encode()).hexdigest()[:8], 16) / 2**32
    return "test" if share < TEST else "validation" if share < TEST + VALIDATION else "train"


def through_camera(images: np.ndarray, seed: int) -> np.ndarray:
    torch.manual_seed(seed)
    parts = torch.from_numpy(images).float().div(255).split(128)
    return torch.cat([camera(part) for part in parts]).mul(255).round().to(torch.uint8).numpy()


def write_idx(path: str, array: np.ndarray) -> None:
    """The format of the MNIST files: magic number with the dimensions, sizes, bytes."""
    header = (0x800 + array.ndim).to_bytes(4, "big") + b"".join(size.to_bytes(4, "big") for size in array.shape)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        packed.write(header + array.astype(np.uint8).tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=DEFAULT_FOLDER, help="folder for the rendered glyphs (default: %(default)s)")
    parser.add_argument("--preview", help="a .png with a few glyphs of every split")
    arguments = parser.parse_args()
    records, drawings = read_fonts(read_packages())
    designs = join_clones(records, drawings)
    kept = limit_designs([designs[record["family"]] for record in records])
    records, drawings = [records[i] for i in kept], drawings[kept]
    for record in records:
        record["design"] = designs[record["family"]]
        record["split"] = split_of(record["design"])
    labels = np.array([LABELS.index(SAME_SHAPE.get(c, c)) for c in CHARACTERS])
    arrays, sheet = {}, []
    os.makedirs(arguments.out, exist_ok=True)
    for number, split in enumerate(SPLITS):
        fonts = [i for i, record in enumerate(records) if record["split"] == split]
        order = np.random.default_rng(SEED + number).permutation(len(fonts) * len(CHARACTERS))
        images = drawings[fonts].reshape(-1, 1, SIZE, SIZE)[order]
        if split != "train":
            arrays[f"{split}_clean"] = images
            images = through_camera(images, SEED + number)
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images, np.tile(labels, len(fonts))[order]
        arrays[f"{split}_fonts"] = np.repeat(fonts, len(CHARACTERS))[order]
        sheet += [np.hstack(row) for row in images[:120, 0].reshape(3, 40, SIZE, SIZE)]
        count = len({records[i]["design"] for i in fonts})
        print(f"{split}: {len(images)} glyphs, {len(fonts)} fonts, {count} designs; mean {images.mean() / 255:.3f}, std {images.std() / 255:.3f}")
    about = json.dumps({"fonts": records, "packages": describe_packages(records)})
    np.savez(os.path.join(arguments.out, FILE), about=np.array(about), **arrays)
    for split in SPLITS[1:]:
        write_idx(os.path.join(arguments.out, f"{split}-images-idx3-ubyte.gz"), arrays[f"{split}_images"][:, 0])
        write_idx(os.path.join(arguments.out, f"{split}-labels-idx1-ubyte.gz"), arrays[f"{split}_labels"])
    if arguments.preview:
        Image.fromarray(np.vstack(sheet)).save(arguments.preview)


if __name__ == "__main__":
    main()
