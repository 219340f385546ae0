# SPDX-License-Identifier: Apache-2.0
"""What Hamming embedding and the match kernels mean, in NumPy: short, slow and obviously right."""

import math

import numpy as np

INTRA, INTER = {"intra", "both"}, {"inter", "both"}


def distance(a, b):
    return int(np.unpackbits(a ^ b).sum())


def idf_of(photos, num_words):
    """log(N / df) of photos that are lists of words; 0 for a word that none has."""
    df = np.zeros(num_words)
    for words in photos:
        df[np.unique(words)] += 1
    return np.where(df > 0, np.log(len(photos) / np.maximum(df, 1)), 0)


def tf_idf_norm(words, idf):
    found, counts = np.unique(words, return_counts=True)
    return math.sqrt(sum((idf[w] * n) ** 2 for w, n in zip(found, counts, strict=True)))


def damped(matches):
    """Of matches that count m, t together: m * sqrt(m / t)."""
    total = sum(matches)
    return [m * math.sqrt(m / total) for m in matches]


def hamming_scores(query, photos, num_words, threshold, sigma, burstiness=None, idf=None):
    """Scores of all photos; query and photos are words (n, k) and signatures (n, k, bytes)."""
    if idf is None:
        idf = idf_of([words for words, _ in photos], num_words)
    scores = np.zeros(len(photos))
    for own_words, own_signatures in zip(*query, strict=True):  # a feature of the query
        matches = [
            [
                idf[w] ** 2 * math.exp(-((d / sigma) ** 2))
                for w, s in zip(own_words, own_signatures, strict=True)
                for words, signatures in zip(*photo, strict=True)
                for v, r in zip(words, signatures, strict=True)
                if v == w and (d := distance(s, r)) <= threshold and idf[w] > 0
            ]
            for photo in photos
        ]
        if burstiness in INTRA:
            matches = [damped(own) for own in matches]
        if burstiness in INTER:
            everywhere = iter(damped([m for own in matches for m in own]))
            matches = [[next(everywhere) for _ in own] for own in matches]
        scores += [sum(own) for own in matches]
    norms = np.array([tf_idf_norm(words, idf) for words, _ in photos])
    factors = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
    norm = tf_idf_norm(query[0], idf)
    return scores * factors * (1 / norm if norm > 0 else 0)


def residuals(x, nearest, words, aggregated):
    """Pairs of a word and bits: of a photo's descriptors, each of which lies in some words."""
    found = []
    for word in np.unique(nearest):
        differences = x[(nearest == word).any(axis=1)].astype(float) - words[word].astype(float)
        sums = [differences.sum(axis=0)] if aggregated else differences
        found += [(word, total > 0) for total in sums]
    return found


def selectivity(a, b, alpha, threshold):
    u = 1 - 2 * (a != b).sum() / len(a)
    return math.copysign(abs(u) ** alpha, u) if u >= threshold else 0.0


def match_kernel(a, b, idf, alpha, threshold):
    """Of two photos: the sum over all pairs of residuals of one word."""
    return sum(
        idf[w] ** 2 * selectivity(p, q, alpha, threshold) for w, p in a for v, q in b if v == w
    )


def match_kernel_scores(query, photos, idf, alpha, threshold):
    """Scores of all photos; query and photos are what `residuals` returns."""

    def factor(photo):
        own = match_kernel(photo, photo, idf, alpha, threshold)
        return 1 / math.sqrt(own) if own > 0 else 0

    scores = [factor(p) * match_kernel(query, p, idf, alpha, threshold) for p in photos]
    return factor(query) * np.array(scores)


def published_asmk(query, photos, alpha, threshold):
    """The ranking and the scores of the published implementation of ASMK without idf.

    Its inverted file has the residuals of a word, one a photo; scores are divided by the roots of
    the numbers of residuals.
    """
    inverted = {}
    for number, photo in enumerate(photos):
        for word, bits in photo:
            inverted.setdefault(word, []).append((number, bits))
    scores = np.zeros(len(photos))
    for word, bits in query:
        for number, own in inverted.get(word, []):
            similarity = -2 * np.mean(bits != own) + 1
            if similarity >= threshold:
                scores[number] += similarity**alpha / np.sqrt(len(photos[number]))
    scores /= np.sqrt(len(query))
    return np.argsort(-scores, kind="stable"), scores


def ranked(scores, k, ids=None):
    """Scores and ids of the k best: the higher score first, then the smaller id."""
    ids = np.arange(len(scores)) if ids is None else np.asarray(ids)
    order = np.lexsort((ids, -scores))[:k]
    missing = k - len(order)
    return (
        np.append(scores[order], np.full(missing, -np.inf)),
        np.append(ids[order], np.full(missing, -1)).astype(np.int64),
    )


def medians(values, ids, num_words, min_points):
    """Of each word, or of all values if a word has too few."""
    return np.array(
        [
            np.median(values[ids == w] if (ids == w).sum() >= min_points else values, axis=0)
            for w in range(num_words)
        ]
    )


def neighborhood_means(words, k):
    """Mean of the k nearest words of each word, of equally near ones those of smaller numbers."""
    distances = np.square(words[:, None].astype(np.float64) - words[None]).sum(axis=2)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
    means = words[nearest].mean(axis=1, dtype=np.float64)
    return np.floor(means + 0.5).astype(np.uint8) if words.dtype == np.uint8 else means
