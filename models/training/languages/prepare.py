"""Makes the three splits from the archive's translated package descriptions.

python -m languages.prepare --lists LISTS --out FOLDER (from models/training) reads the lists of one Debian suite and
writes train.tsv (whole sentences), validation.tsv and test.tsv (snippets), one "language<TAB>text" per line, and
source.json with the hash of every list. The same lists always give the same bytes.
"""
import argparse
import collections
import glob
import hashlib
import json
import os
import random
import re
import sys

from common.manifest import sha256
from languages.data import CUTS, CUT_SHARE, LANGUAGES, LENGTH, SPLITS

# Two translations of Portuguese are one class here: from a snippet they could not be told apart.
LISTS = {language: [language] for language in LANGUAGES} | {"pt": ["pt", "pt_BR"], "zh": ["zh_CN"]}
TEST_SHARE, VALIDATION_SHARE = 0.15, 0.10
MOST = {"train": 3000, "validation": 350, "test": 500}  # texts of one language
SHORTEST, LONGEST = 12, 400  # characters of a sentence
COMMON_ENGLISH = set("the and of for is to a in with that this are be by from or it".split())


def share(text: str) -> float:
    """A number from 0 to 1 that depends on the text alone."""
    return int(hashlib.md5(text.encode()).hexdigest()[:8], 16) / 2**32


def split_of(original: str) -> str:
    """By the English original, so that translations of one description never lie on both sides."""
    at = share(f"split {original}")
    return "test" if at < TEST_SHARE else "validation" if at < TEST_SHARE + VALIDATION_SHARE else "train"


def list_path(folder: str, suite: str, language: str) -> str:
    """Where apt keeps the list of a language; "" when it is not there."""
    name = f"*dists_{suite}_main_i18n_Translation-{language.replace('_', '%5f')}"
    return next(iter(sorted(glob.glob(os.path.join(glob.escape(folder), name)))), "")


def require_lists(folder: str, suite: str) -> dict:
    """The file of every list; ends the program with status 2 and the remedy when one is missing."""
    names = sorted({name for group in LISTS.values() for name in group})
    paths = {name: list_path(folder, suite, name) for name in names}
    missing = [name for name, path in paths.items() if not path]
    if missing:
        print(f"{folder} lacks the lists of {suite} for {', '.join(missing)}.", file=sys.stderr)
        print(f"Fetch them (37 MB) on a system whose sources name Debian {suite}:", file=sys.stderr)
        print(f"  mkdir -p {folder}/partial", file=sys.stderr)
        print(f"  apt-get update -o Acquire::Languages={','.join(names)} -o Acquire::GzipIndexes=false "
              f"-o Dir::State::Lists=$(realpath {folder})", file=sys.stderr)
        sys.exit(2)
    return paths


def descriptions(path: str) -> dict:
    """The long description of each package, by the md5 of its English original."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    found = {}
    for paragraph in text.split("\n\n"):
        original = re.search(r"^Description-md5: (\w+)", paragraph, re.M)
        body = re.search(r"^Description-(?!md5)[a-zA-Z_]+:.*((?:\n .*)*)", paragraph, re.M)
        if original and body:
            found[original[1]] = body[1]
    return found


def sentences(body: str) -> list:
    body = re.sub(r"^ \.$", "", body, flags=re.M)
    parts = re.split(r"(?<=[.!?])\s+|(?<=。)\s*|\n\s*\n|\n\s*[*-] ", body)
    tidy = (re.sub(r"[\s\0]+", " ", part).strip(" *-") for part in parts)
    return [part for part in tidy if SHORTEST <= len(part) <= LONGEST]


def looks_english(text: str) -> bool:
    """Parts of a translation are sometimes left in English, with small differences from the original."""
    words = re.findall(r"[a-z]+", text.lower())
    return len(words) > 4 and sum(word in COMMON_ENGLISH for word in words) / len(words) > 0.22


def snippet(text: str, rng: random.Random) -> str:
    """A part of a sentence as someone might post it: mostly from some word on, for some number of characters."""
    if rng.random() >= CUT_SHARE:
        return text
    start = rng.randint(0, max(0, len(text) - 20))
    space = text.find(" ", start, start + 30)
    start = space + 1 if start > 0 and space >= 0 else start
    return text[start : start + rng.choice(CUTS)].strip() or text


def texts_of(language: str, paths: dict, english: dict) -> dict:
    """Split to a list of (original, sentence): first one of every description, then second ones, in the order of a hash."""
    by_split = collections.defaultdict(list)
    used = set()
    for name in LISTS[language]:
        translated = descriptions(paths[name])
        for original in sorted(translated, key=lambda md5: share(f"order {md5}")):
            untranslated = set() if language == "en" else set(sentences(english.get(original, "")))
            own = [s for s in sentences(translated[original]) if s not in used and s not in untranslated]
            own = [s for s in dict.fromkeys(own) if language == "en" or not looks_english(s)]
            used.update(own)
            random.Random(f"{name} {original}").shuffle(own)
            by_split[split_of(original)] += [(turn, share(f"order {original}"), original, s) for turn, s in enumerate(own)]
    return {split: [(o, s) for _, _, o, s in sorted(rows)] for split, rows in by_split.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", required=True, help="the folder that apt-get update filled")
    parser.add_argument("--out", required=True, help="folder for the splits (not for the repository)")
    parser.add_argument("--suite", default="bookworm")
    arguments = parser.parse_args()
    paths = require_lists(arguments.lists, arguments.suite)
    english = descriptions(paths["en"])
    rows, counts = collections.defaultdict(list), collections.defaultdict(dict)
    for language in LANGUAGES:
        for split, texts in texts_of(language, paths, english).items():
            if split != "train":
                first = {}
                for original, sentence in texts:
                    first.setdefault(original, sentence)
                texts = [(o, snippet(s, random.Random(f"cut {language} {o}"))) for o, s in first.items()]
            texts = texts[: MOST[split]]
            counts[split][language] = len(texts)
            rows[split] += [(share(f"row {language} {original} {text}"), language, text) for original, text in texts]
    learnt = {text.encode()[:LENGTH] for _, _, text in rows["train"]}
    os.makedirs(arguments.out, exist_ok=True)
    for split in SPLITS:
        lines = [f"{language}\t{text}\n" for _, language, text in sorted(rows[split])
                 if split == "train" or text.encode()[:LENGTH] not in learnt]
        with open(os.path.join(arguments.out, f"{split}.tsv"), "w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
        print(split, len(lines), counts[split])
    source = {
        "suite": arguments.suite,
        "lists": {f"main/i18n/Translation-{name}": sha256(path) for name, path in paths.items()},
        "splits": {f"{split}.tsv": sha256(os.path.join(arguments.out, f"{split}.tsv")) for split in SPLITS},
    }
    with open(os.path.join(arguments.out, "source.json"), "w") as file:
        json.dump(source, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
