"""Prints the tables of a card that manifest.json and app.json hold: python -m common.card <application>.

Forms of each stage, accuracy by seed, what travels at each cut.
"""
import json
import os
import sys

from common.application import folder_of

SHORT = {"fp32": "float", "int8": "folded int8", "qdq": "int8 arithmetic"}


def read(name: str, file: str) -> dict:
    with open(os.path.join(folder_of(name), file), encoding="utf-8") as source:
        return json.load(source)


def forms_table(weights: dict) -> list:
    rows = ["| rung | " + " | ".join(f"{text}: bytes, ms, validation %" for text in SHORT.values()) + " | ships |", "| --- " * 5 + "|"]
    for file, record in weights.items():
        cells = []
        for form in SHORT:
            tried = record["tried"].get(form)
            ms = f"{tried['wasmMs']:.3f}" if tried and "wasmMs" in tried else "–"
            cells.append(f"{tried['bytes']:,}, {ms}, {100 * tried['validation']:.2f}" if tried else "–")
        rows.append(f"| {file.removesuffix('.onnx')} | {' | '.join(cells)} | {SHORT[record['ships']]} |")
    return rows


def seeds_table(seeds: list, names: list) -> list:
    rows = [f"| test (validation) % | {' | '.join(names)} |", "| --- " * (1 + len(names)) + "|"]
    for run in seeds:
        cells = [f"{100 * test:.2f} ({100 * validation:.2f})" for test, validation in zip(run["test"], run["validation"])]
        cells += ["–"] * (len(names) - len(cells))
        form = SHORT.get(run["form"], run["form"])
        rows.append(f"| seed {run['seed']}, {form} | {' | '.join(cells)} |")
    return rows


def cuts_table(rungs: list) -> list:
    cut = [(rung["name"], rung["cut"]) for rung in rungs if "cut" in rung]
    if not cut:
        return []
    rows = ["| cut after | float bytes | 8 bits: bytes, points lost | 4 bits: bytes, points lost |", "| --- " * 4 + "|"]
    for name, spec in cut:
        cells = [f"{spec['bytes'][code]:,}, {spec['lostPoints'][code]:.2f}" for code in ("u8", "u4")]
        rows.append(f"| {name} | {spec['bytes']['f32']:,} | {' | '.join(cells)} |")
    return rows


def main() -> None:
    name = sys.argv[1]
    application, manifest = read(name, "app.json"), read(name, "manifest.json")
    names = [rung["name"] for rung in application["rungs"]]
    for table in (forms_table(manifest["weights"]), seeds_table(manifest["seeds"], names), cuts_table(application["rungs"])):
        print("\n".join([*table, ""]))


if __name__ == "__main__":
    main()
