"""Text to hashed word ids: the same as runtime/text-tokens.ts and, for pairs, runtime/normalise.ts."""
import json
import os
import re

import numpy as np

# White space as ECMAScript has it; Python's \s differs.
SPACE = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
TOKEN = re.compile(f"[a-z]+|[0-9]+|[^{SPACE}a-z0-9]")
HEAD_LINE = re.compile("([!-9;-~]+):(.*)", re.S)
LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def fnv1a(data: bytes) -> int:
    """FNV-1a of 32 bits."""
    digest = 2166136261
    for byte in data:
        digest = ((digest ^ byte) * 16777619) & 0xFFFFFFFF
    return digest


def word_ids(text: str, length: int, buckets: int) -> list:
    """The ids of the first `length` tokens, padded with 0."""
    ids = []
    for found in TOKEN.finditer(text.translate(LOWER)):
        if len(ids) == length:
            break
        ids.append(1 + fnv1a(found[0].encode()) % buckets)
    return ids + [0] * (length - len(ids))


def cut_segments(text: str, names: list) -> list:
    """One text per segment: head lines for all but the last, which takes the rest. protocol/application.ts says how."""
    wanted, rest, open_name = {}, text, None
    if len(names) > 1:
        while rest:
            line, end, after = rest.partition("\n")
            line = line[:-1] if line.endswith("\r") else line
            if line == "":
                rest = after if end else ""
                break
            if line[0] in " \t" and open_name is not None:
                if open_name in wanted:
                    wanted[open_name] += line
            elif found := HEAD_LINE.fullmatch(line):
                open_name = found[1].translate(LOWER)
                if open_name in names[:-1] and open_name not in wanted:
                    wanted[open_name] = found[2]
                elif open_name in wanted:
                    open_name = ""
            else:
                break
            rest = after
    if not wanted:
        return [*[""] * (len(names) - 1), text]
    return [*[wanted.get(name, "") for name in names[:-1]], rest]


def token_ids(text: str, segments: list, buckets: int) -> list:
    """The ids of a text that travel: its segments side by side. `segments` is a list of (name, length)."""
    parts = cut_segments(text.removeprefix("\ufeff"), [name for name, _ in segments])
    return [id for part, (_, length) in zip(parts, segments) for id in word_ids(part, length, buckets)]


def pair_ids(ids: np.ndarray, lengths: list, buckets: int) -> np.ndarray:
    """Per token the hash of its id and the one before; 0 for the first token of a segment, beside padding and for it."""
    previous = np.zeros_like(ids)
    previous[:, 1:] = ids[:, :-1]
    previous[:, np.cumsum([0, *lengths[:-1]])] = 0
    digest = np.full(ids.shape, 2166136261, np.uint64)
    for part in (previous & 255, previous >> 8, ids & 255, ids >> 8):
        digest = ((digest ^ part.astype(np.uint64)) * np.uint64(16777619)) & np.uint64(0xFFFFFFFF)
    pairs = 1 + (digest % np.uint64(buckets)).astype(np.int64)
    return np.where((previous > 0) & (ids > 0), pairs, 0)


def parity_cases(seed: int = 5, count: int = 60) -> list:
    """Texts that two implementations could read differently: heads, line ends, Unicode white space, cases, long words."""
    pieces = [
        "Subject:", "subject: Re: ", "SUBJECT:\t", "Date: ", "X-Y", ": ", ":", "\n", "\r\n", "\n\n", "\r", "\n ", "\n\t", " ",
        "\u00a0",
        "\u0085", "\u001f", "\u2028", "\u200b", "\u3000", "\ufeff", "\0", "K", "\u0130", "\u1e9e", "É", "é", "ß", "ΣΑΣ", "𝄞", "👩‍💻", "e\u0301",
        "FREE", "Free", "free", "$$$ 100% ", "3.14", "1e9", "don't", "x" * 70, "0" * 9, "hello world ", "日本語", "_", "-", "#",
        "name@example.com",
        "http://example.com/?a=1", "\uffff", "\U0010ffff", "ﬀ", "²", "٣",
    ]
    random = np.random.default_rng(seed)
    texts = [
        "a", "Hello, World 2026!", "Subject: Win $1,000\n\nClick http://example.com/ now",
        "Subject: one\r\n two\r\nTo: you\r\n\r\nbody", "no head\nSubject: x\n\ny",
    ]
    while len(texts) < count:
        texts.append("".join(pieces[i] for i in random.integers(len(pieces), size=random.integers(1, 40))))
    return texts


def write_parity(path: str) -> None:
    """The fixture that test/core/tokens.test.ts compares with."""
    fixture = []
    for segments, buckets, pairs in (([("subject", 8), ("body", 24)], 16381, 32749), ([("text", 32)], 65535, 1 << 20)):
        lengths = [length for _, length in segments]
        cases = []
        for text in parity_cases():
            ids = token_ids(text, segments, buckets)
            cases.append({"text": text, "ids": ids, "pairs": pair_ids(np.array([ids]), lengths, pairs)[0].tolist()})
        described = [{"name": name, "length": length} for name, length in segments]
        preprocessing = {"kind": "tokens", "segments": described, "buckets": buckets, "bigramBuckets": pairs}
        fixture.append({"preprocessing": preprocessing, "cases": cases})
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        json.dump(fixture, file)
        file.write("\n")


if __name__ == "__main__":
    write_parity(os.path.join(os.path.dirname(__file__), "..", "..", "..", "test", "fixtures", "tokens", "parity.json"))
