"""Reads a data frame from an .rda file without R.

R's serialisation format, version 2 or 3, big-endian ("XDR"), as `save()` writes it; only what data frames of
numbers and factors need: lists, pairlists, strings and numeric vectors with their attributes.
"""
import bz2
import gzip
import lzma
import struct

import numpy as np

NIL, SYMBOL, PAIRLIST, STRING, LOGICAL, INTEGER, REAL, STRINGS, LIST, REFERENCE = 254, 1, 2, 9, 10, 13, 14, 16, 19, 255
HAS_ATTRIBUTES, HAS_TAG = 0x200, 0x400
DECOMPRESS = {b"\xfd7": lzma.decompress, b"\x1f\x8b": gzip.decompress, b"BZ": bz2.decompress}


class Vector:
    """An R vector: `values` (numpy array, list of strings or list of vectors) and `attributes` by name."""

    def __init__(self, values, attributes: dict):
        self.values, self.attributes = values, attributes


class Reader:
    """A position in the bytes, and the symbols met so far, to which later references point."""

    def __init__(self, data: bytes, at: int):
        self.data, self.at, self.symbols = data, at, []

    def integer(self) -> int:
        self.at += 4
        return struct.unpack_from(">i", self.data, self.at - 4)[0]

    def numbers(self, dtype: str) -> np.ndarray:
        values = np.frombuffer(self.data, dtype, self.integer(), self.at)
        self.at += values.nbytes
        return values

    def string(self) -> str:
        length = self.integer()  # -1: NA
        self.at += max(length, 0)
        return self.data[self.at - max(length, 0) : self.at].decode()

    def pairs(self, flags: int) -> dict:
        """A pairlist as a dictionary; entries without a tag cannot occur in attributes or at the top of a file."""
        entries = {}
        while flags & 0xFF == PAIRLIST:
            if flags & HAS_ATTRIBUTES:
                self.item()
            tag = self.item() if flags & HAS_TAG else ""
            entries[tag] = self.item()
            flags = self.integer()
        return entries

    def item(self):
        flags = self.integer()
        kind = flags & 0xFF
        if kind == NIL:
            return None
        if kind == PAIRLIST:
            return self.pairs(flags)
        if kind == STRING:
            return self.string()
        if kind == SYMBOL:
            self.symbols.append(self.item())
            return self.symbols[-1]
        if kind == REFERENCE:
            return self.symbols[(flags >> 8 or self.integer()) - 1]
        if kind in (LOGICAL, INTEGER, REAL):
            values = self.numbers(">f8" if kind == REAL else ">i4")
        elif kind in (STRINGS, LIST):
            values = [self.item() for _ in range(self.integer())]
        else:
            raise ValueError(f"R type {kind} at byte {self.at}: not a data frame of numbers and factors")
        return Vector(values, self.pairs(self.integer()) if flags & HAS_ATTRIBUTES else {})


def read_frame(path: str, name: str) -> dict:
    """The columns of data frame `name`: arrays of numbers; a factor as a pair (codes from 0, labels)."""
    with open(path, "rb") as file:
        data = file.read()
    data = DECOMPRESS.get(data[:2], bytes)(data)
    if data[:7] not in (b"RDX2\nX\n", b"RDX3\nX\n"):
        raise ValueError(f"{path} is not an R data file in binary form")
    reader = Reader(data, 7)
    version = reader.integer()
    reader.at += 8  # the R versions that wrote it and that can read it
    if version == 3:
        reader.at += reader.integer()  # name of the encoding
    frame = reader.item()[name]
    columns = {}
    for column, vector in zip(frame.attributes["names"].values, frame.values):
        levels = vector.attributes.get("levels")
        columns[column] = (vector.values - 1, levels.values) if levels else vector.values
    return columns
