"""What a linear classifier reaches on the same splits: python -m topics.reference --data DATA (needs scikit-learn).

TF-IDF of words and pairs that occur in two training texts or more, of the first 32 or 96 tokens, every word a feature of
its own. It says how hard a split is; nothing is chosen by it.
"""
import argparse

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier

from common.tokens import LOWER, TOKEN
from topics.data import SPLITS, read_rows, require_data
from topics.network import SHORT
from topics.train import class_offsets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder topics.prepare wrote to")
    arguments = parser.parse_args()
    require_data(arguments.data)
    rows = {split: read_rows(arguments.data, split) for split in SPLITS}
    tokens = {split: [TOKEN.findall(row["text"].translate(LOWER)) for row in rows[split]] for split in SPLITS}
    labels = sorted({row["label"] for row in rows["train"]})
    y = {split: np.array([labels.index(row["label"]) for row in rows[split]]) for split in SPLITS}
    # As much weight to a section as the networks give it.
    weight = np.exp(-class_offsets(y["train"]).numpy())[y["train"]]
    for length in (SHORT, 96):
        words = TfidfVectorizer(analyzer=lambda found: [*found[:length], *map(" ".join, zip(found[: length - 1], found[1:length]))], min_df=2, binary=True)
        x = {split: words.fit_transform(tokens[split]) if split == "train" else words.transform(tokens[split]) for split in SPLITS}
        model = SGDClassifier(alpha=3e-6, max_iter=15, tol=None, random_state=0).fit(x["train"], y["train"], sample_weight=weight)
        shares = ", ".join(f"{split} {100 * model.score(x[split], y[split]):.2f} %" for split in SPLITS[1:])
        print(f"first {length} tokens, {len(words.vocabulary_)} words and pairs: {shares}", flush=True)


if __name__ == "__main__":
    main()
