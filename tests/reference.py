# SPDX-License-Identifier: Apache-2.0
"""What each kernel means, in NumPy: short, slow and obviously right."""

import numpy as np


def root_sift(sift):
    total = np.maximum(sift.sum(axis=1, keepdims=True, dtype=float), 1)
    return np.minimum(np.rint(512 * np.sqrt(sift / total)), 255).astype(np.uint8)


def philox(counter, key):
    """Philox-4x32-10 of four words and a key of two."""
    counter, key = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        low = 0xFFFFFFFF
        counter = [
            b >> 32 ^ counter[1] ^ key[0],
            b & low,
            a >> 32 ^ counter[3] ^ key[1],
            a & low,
        ]
        key = [key[0] + 0x9E3779B9 & low, key[1] + 0xBB67AE85 & low]
    return counter


def crc32c(data):
    """CRC-32C, a bit at a time."""
    crc = 0xFFFFFFFF
    for byte in bytes(data):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
def average_precision(ranking, positives, junk=()):
    kept = [i for i in ranking if i not in junk]
    hits = np.array([i in positives for i in kept], dtype=float)
    precision = np.cumsum(hits) / np.arange(1, len(kept) + 1)
    before = np.concatenate([[1.0], precision])[: len(kept)]
    return float(np.sum(hits / len(positives) * (before + precision) / 2))


def precision_at(ranking, positives, k, junk=()):
    kept = [i for i in ranking if i not in junk]
    missing = len(set(positives) - set(kept))
    last = np.inf if missing else 1 + max(kept.index(i) for i in positives)
    k = int(min(last, k))
    return sum(i in positives for i in kept[:k]) / k


def inverted_file_scores(X, Q, metric="dot", weighting=None):
    X, Q = np.asarray(X, dtype=float), np.asarray(Q, dtype=float)
    if weighting == "tfidf":
        frequencies = (X != 0).sum(axis=0)
        idf = [np.log(len(X) / df) if df > 0 else 0.0 for df in frequencies]
        X, Q = X * idf, Q * idf
    if metric == "cosine":
        X, Q = (m / np.maximum(np.linalg.norm(m, axis=1, keepdims=True), 1e-300) for m in (X, Q))
    return Q @ X.T


def best(scores, k, ids=None):
    ids = np.arange(scores.shape[1]) if ids is None else np.asarray(ids)
    out_scores, out_ids = np.full((len(scores), k), -np.inf), np.full((len(scores), k), -1)
    for i, row in enumerate(scores):
        order = np.lexsort((ids, -row))[:k]
        out_scores[i, : len(order)], out_ids[i, : len(order)] = row[order], ids[order]
    return out_scores, out_ids


def match_shortlist(descriptors, words, max_distances, candidates):
    """Mutually nearest features of shared words, near enough; a list of (q, c, distance) each."""
    found = []
    for candidate_words, rows in candidates:
        distances = ((descriptors[:, None].astype(int) - rows[None]) ** 2).sum(axis=2)
        shared = (words[:, :, None] == candidate_words).any(axis=1)
        distances[~shared] = 2**31 - 1
        matches = []
        for q, c in enumerate(distances.argmin(axis=1) if len(candidate_words) else ()):
            d = distances[q, c]
            if shared[q, c] and d <= max_distances[q] and distances[:, c].argmin() == q:
                matches.append((q, int(c), int(d)))
        found.append(matches)
    return found
