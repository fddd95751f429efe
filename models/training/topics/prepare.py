"""Makes the three splits from the archive's package descriptions: the text, and the section its maintainer chose.

python -m topics.prepare --lists LISTS --out FOLDER (from models/training) reads the lists of one Debian suite and writes
train.jsonl, validation.jsonl and test.jsonl, one {"label", "package", "text"} per line, and source.json with the labels
and the hash of every list. The same lists always give the same bytes.
"""
import argparse
import collections
import glob
import hashlib
import json
import os
import re
import subprocess
import sys

from topics.data import SPLITS

LISTS = {"packages": "binary-amd64_Packages", "descriptions": "i18n_Translation-en"}
DROPPED = {"cli-mono", "metapackages", "oldlibs", "debug", "tasks", "misc"}
MERGED = {"introspection": "libs", "xfce": "x11", "tex": "text", "vcs": "devel", "comm": "net", "httpd": "web", "shells": "admin"}
TEST_SHARE, VALIDATION_SHARE = 0.15, 0.10
FEWEST, MOST = 190, 1800  # texts of one section


def require_lists(folder: str, suite: str) -> dict:
    """The file of each list, as apt stores it; ends the program with status 2 and the remedy when one is missing."""
    found = {name: sorted(glob.glob(os.path.join(glob.escape(folder), f"*debian_dists_{suite}_main_{tail}*"))) for name, tail in LISTS.items()}
    if not all(found.values()):
        print(f"{folder} lacks the lists of {suite}.", file=sys.stderr)
        print(f"Fetch them (33 MB) on a system whose sources name Debian {suite}:", file=sys.stderr)
        print(f"  mkdir -p {folder}/partial", file=sys.stderr)
        print(f"  apt-get update -o Acquire::Languages=en -o Dir::State::Lists=$(realpath {folder})", file=sys.stderr)
        sys.exit(2)
    return {name: paths[0] for name, paths in found.items()}


def read_list(path: str) -> list:
    """The paragraphs of a list, whichever way apt compressed it."""
    if path.endswith(".lz4"):
        command = ["/usr/lib/apt/apt-helper", "cat-file", path]
        text = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "replace")
    else:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    return text.split("\n\n")


def field(paragraph: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*(?:\n .*)*)", paragraph, re.M)
    return found[1] if found else ""


def share(text: str) -> float:
    """A number from 0 to 1 that depends on the text alone."""
    return int(hashlib.md5(text.encode()).hexdigest()[:8], 16) / 2**32


def split_of(source: str) -> str:
    """By the source package: the packages built from one have nearly the same text."""
    at = share(f"topics, second split: {source}")
    return "test" if at < TEST_SHARE else "validation" if at < TEST_SHARE + VALIDATION_SHARE else "train"


def read_documents(paths: dict) -> list:
    """(source, package, section, text) of every package, no text twice within one source."""
    descriptions = {field(p, "Description-md5"): field(p, "Description-en") for p in read_list(paths["descriptions"])}
    documents, seen = [], set()
    for paragraph in read_list(paths["packages"]):
        package, text = field(paragraph, "Package"), descriptions.get(field(paragraph, "Description-md5"))
        section = field(paragraph, "Section").split("/")[-1]
        if not package or not text or section in DROPPED:
            continue
        source = field(paragraph, "Source").split(" ")[0] or package
        text = re.sub(r"\s+", " ", re.sub(r"^ \.$", "", text, flags=re.M)).strip()
        if (source, text) not in seen:
            seen.add((source, text))
            documents.append((source, package, MERGED.get(section, section), text))
    return documents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", required=True, help="the folder apt-get update filled")
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--out", required=True, help="folder for the splits (not in the repository)")
    arguments = parser.parse_args()
    paths = require_lists(arguments.lists, arguments.suite)
    documents = sorted(read_documents(paths), key=lambda document: share(f"order {document[1]}"))
    sizes = collections.Counter(section for _, _, section, _ in documents)
    labels = sorted(section for section, size in sizes.items() if size >= FEWEST)
    taken, chosen = collections.Counter(), []
    for document in documents:
        if document[2] in labels and taken[document[2]] < MOST:
            taken[document[2]] += 1
            chosen.append(document)
    # No text of another split occurs in training, and none of test in validation.
    known, rows = set(), {split: [] for split in SPLITS}
    for split in SPLITS:
        own = [document for document in chosen if split_of(document[0]) == split and document[3] not in known]
        known |= {text for _, _, _, text in own}
        rows[split] = own
    # Of sections with more than MOST texts, training takes all; topics.train evens out that they are more frequent there.
    held_out = {text for split in SPLITS[1:] for _, _, _, text in rows[split]}
    rows["train"] = [d for d in documents if d[2] in labels and split_of(d[0]) == "train" and d[3] not in held_out]
    rows = {split: [{"label": section, "package": package, "text": text} for _, package, section, text in own] for split, own in rows.items()}
    os.makedirs(arguments.out, exist_ok=True)
    for split, found in rows.items():
        with open(os.path.join(arguments.out, f"{split}.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        print(split, len(found))
    print(len(labels), "sections")
    with open(os.path.join(arguments.out, "source.json"), "w") as file:
        lists = {LISTS[name]: hashlib.sha256("\n\n".join(read_list(path)).encode()).hexdigest() for name, path in paths.items()}
        json.dump({"suite": arguments.suite, "labels": labels, "lists": lists}, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
