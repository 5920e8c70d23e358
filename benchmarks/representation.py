"""How good vectors of images are, by labels that they were made without: neighbours, linear classifiers, clusters."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

NEIGHBOURS, TEMPERATURE = 10, 0.07
STRENGTHS = (0.01, 0.1, 1.0)  # inverse regularisation of the linear probe
DRAWS = 20  # of few-shot examples


def standardised(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Return all vectors with the mean 0 and the standard deviation 1 that those of the training set get."""
    mean, std = train.mean(0), train.std(0) + 1e-6
    return [(rows - mean) / std for rows in (train, *others)]


def knn_accuracy(train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of test vectors (n, d) whose nearest training vectors vote for their label.

    Vectors are standardised and of unit length; the 10 nearest vote with exp(cosine / 0.07). Labels are 0, 1, ....
    """
    rows = [F.normalize(torch.from_numpy(one).float(), dim=1) for one in standardised(train, test)]
    one_hot = F.one_hot(torch.from_numpy(labels)).float()
    right = 0
    for start in range(0, len(test), 1000):
        near = (rows[1][start : start + 1000] @ rows[0].T).topk(NEIGHBOURS, dim=1)  # (1000, NEIGHBOURS)
        votes = (one_hot[near.indices] * (near.values / TEMPERATURE).exp()[..., None]).sum(1)
        right += int((votes.argmax(1).numpy() == truth[start : start + 1000]).sum())
    return right / len(test)


def linear_accuracy(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray, strength: float
) -> float:
    """Return the accuracy of logistic regression on standardised vectors."""
    fitted, asked = standardised(train, test)
    return float(LogisticRegression(C=strength, max_iter=200).fit(fitted, labels).score(asked, truth))


def few_shot_accuracy(train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray, shots: int) -> float:
    """Return the mean accuracy of logistic regression on so many vectors of each label, over 20 draws."""
    random = np.random.default_rng(shots)
    fitted, asked = standardised(train, test)
    found = []
    for _ in range(DRAWS):
        rows = np.concatenate(
            [random.choice(np.flatnonzero(labels == label), shots, replace=False) for label in np.unique(labels)]
        )
        found.append(LogisticRegression(max_iter=500).fit(fitted[rows], labels[rows]).score(asked, truth))
    return float(np.mean(found))


def cluster_scores(vectors: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return how well k-means on standardised vectors of unit length finds the labels.

    Returns
    -------
    dict
        ACC: the share of vectors in the cluster that is matched to their label, in the best matching; NMI; ARI.
    """
    rows = standardised(vectors)[0]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    n = len(np.unique(truth))
    found = KMeans(n, n_init=10, random_state=0).fit_predict(rows)
    return {
        "ACC": matched_share(found, truth),
        "NMI": float(normalized_mutual_info_score(truth, found)),
        "ARI": float(adjusted_rand_score(truth, found)),
    }


def matched_share(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of rows whose cluster is matched to their label, one cluster to one label, the best way."""
    together = np.zeros((found.max() + 1, truth.max() + 1))
    np.add.at(together, (found, truth), 1)
    clusters, labels = linear_sum_assignment(-together)
    return float(together[clusters, labels].sum() / len(truth))
