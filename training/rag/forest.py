"""Fit boosted trees with scikit-learn and write them as the service reads them."""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from services.rag import features
from services.rag.trees import Trees

ROUNDS = 160
LEAVES = 15
DEPTH = 6
LEARNING_RATE = 0.08
LEAST_EXAMPLES = 20  # of a leaf
SEED = 11


def fitted(
    rows: NDArray[np.float32],
    is_right: NDArray[np.bool_],
    weights: NDArray[np.float64] | None = None,
) -> Trees:
    """Return trees that tell right chunks from wrong ones."""
    model = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        max_leaf_nodes=LEAVES,
        max_depth=DEPTH,
        learning_rate=LEARNING_RATE,
        min_samples_leaf=LEAST_EXAMPLES,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=SEED,
    )
    model.fit(rows, is_right, sample_weight=weights)
    return converted(model)


def converted(model: HistGradientBoostingClassifier) -> Trees:
    """Lay scikit-learn's trees one behind the other."""
    parts: dict[str, list[NDArray[np.float64]]] = {
        name: [] for name in ("feature", "threshold", "left", "right", "value")
    }
    roots, start, depth = [], 0, 0
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        own = np.arange(start, start + len(nodes))
        is_leaf = nodes["is_leaf"].astype(bool)
        parts["feature"].append(np.where(is_leaf, 0, nodes["feature_idx"]))
        parts["threshold"].append(np.where(is_leaf, 0.0, nodes["num_threshold"]))
        parts["left"].append(np.where(is_leaf, own, start + nodes["left"].astype(int)))
        parts["right"].append(np.where(is_leaf, own, start + nodes["right"].astype(int)))
        parts["value"].append(np.where(is_leaf, nodes["value"], 0.0))
        roots.append(start)
        start += len(nodes)
        depth = max(depth, int(nodes["depth"].max()))
    whole = {name: np.concatenate(part) for name, part in parts.items()}
    return Trees(
        names=features.NAMES,
        feature=whole["feature"].astype(np.int16),
        threshold=whole["threshold"].astype(np.float32),
        left=whole["left"].astype(np.int32),
        right=whole["right"].astype(np.int32),
        value=whole["value"].astype(np.float32),
        roots=np.array(roots, dtype=np.int32),
        depth=depth,
        baseline=float(np.ravel(model._baseline_prediction)[0]),
    )
