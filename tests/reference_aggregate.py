# SPDX-License-Identifier: Apache-2.0
"""What the encoders of photos mean, in NumPy; see reference.py."""

import numpy as np
import scipy.special

import reference

LEAST = 1e-12  # what is less than this share of the largest is nothing


def normalized(v, power=1.0, block=0, norm="l2"):
    """Of one vector: the power law, parts of length 1, the whole of length 1."""
    v = np.sign(v) * np.abs(v) ** power
    parts = v.reshape(-1, block) if block else v[None]
    if block:
        parts = np.array([unit(part) for part in parts])
    v = parts.reshape(-1)
    return unit(v) if norm == "l2" else v


def unit(v):
    length = np.sqrt((v**2).sum())
    return v / length if length > 0 else v


def shares(x, words, assignments, sigma):
    """What each word counts for each descriptor, (n, num_words)."""
    squares = reference.squared_distances(x, words).astype(float)
    counted = np.zeros(squares.shape)
    for row, out in zip(squares, counted, strict=True):
        nearest = np.argsort(row, kind="stable")[:assignments]
        weights = np.exp(-(row[nearest] - row[nearest[0]]) / (2 * sigma**2))
        weights[weights < LEAST] = 0
        out[nearest] = weights / weights.sum()
    return counted


def vlad(
    x, words, assignments=1, sigma=1.0, unit_residuals=False, power=1.0, intra=True, norm="l2"
):
    """The vector of one photo."""
    x, words = np.asarray(x, float), np.asarray(words, float)
    v = np.zeros(words.shape)
    for row, counted in zip(x, shares(x, words, assignments, sigma), strict=True):
        for c in np.flatnonzero(counted):
            residual = row - words[c]
            v[c] += counted[c] * (unit(residual) if unit_residuals else residual)
    return normalized(v.reshape(-1), power, words.shape[1] if intra else 0, norm)


def log_densities(x, weights, means, variances):
    """log p(x, k), (n, K)."""
    z = (np.asarray(x, float)[:, None] - means) / np.sqrt(variances)
    constant = np.log(weights) - 0.5 * np.log(2 * np.pi * variances).sum(axis=1)
    return constant - 0.5 * (z**2).sum(axis=2)


def mixture_sums(x, weights, means, variances):
    """Sums of posteriors, of those times z, and times z^2; and of log p(x)."""
    z = (np.asarray(x, float)[:, None] - means) / np.sqrt(variances)
    logs = log_densities(x, weights, means, variances)
    total = scipy.special.logsumexp(logs, axis=1)
    p = np.exp(logs - total[:, None])[:, :, None]
    return p.sum(axis=(0, 2)), (p * z).sum(axis=0), (p * z**2).sum(axis=0), total.sum()


def fisher_vector(x, weights, means, variances, power=0.5, norm="l2"):
    """The vector of one photo."""
    if len(x) == 0:
        return np.zeros(2 * means.size)
    p, first, second, _ = mixture_sums(x, weights, means, variances)
    root = np.sqrt(weights)[:, None]
    by_means = first / (len(x) * root)
    by_deviations = (second - p[:, None]) / (len(x) * np.sqrt(2) * root)
    return normalized(
        np.concatenate([by_means.reshape(-1), by_deviations.reshape(-1)]), power, 0, norm
    )


def expectation_maximization(x, weights, means, variances):
    """One round: the next mixture, and the mean of log p(x) before it."""
    x = np.asarray(x, float)
    logs = log_densities(x, weights, means, variances)
    total = scipy.special.logsumexp(logs, axis=1)
    p = np.exp(logs - total[:, None])
    weights = p.mean(axis=0)
    means = p.T @ x / p.sum(axis=0)[:, None]
    away = (x[:, None] - means) ** 2
    variances = (p[:, :, None] * away).sum(axis=0) / p.sum(axis=0)[:, None]
    return weights, means, variances, total.mean()


def bag_of_words(x, words, assignments=1, sigma=1.0, idf=1.0, burstiness=None, norm="l2"):
    """The histogram of one photo."""
    counts = shares(np.asarray(x, float), np.asarray(words, float), assignments, sigma).sum(axis=0)
    v = (np.sqrt(counts) if burstiness == "sqrt" else counts) * idf
    length = {"l2": np.sqrt((v**2).sum()), "l1": v.sum(), None: 1.0}[norm]
    return v / length if length > 0 else v


def principal_axes(x, count):
    """Mean, directions as rows, and variances, by the singular values of what is centred."""
    x = np.asarray(x, float)
    mean = x.mean(axis=0)
    _, values, directions = np.linalg.svd(x - mean, full_matrices=False)
    return mean, directions[:count], (values**2 / (len(x) - 1))[:count]


def learned_whitening(x, pairs, count, regularization=0.0):
    """Mean and projection, (count, D): by Mikolajczyk and Matas, Radenovic et al."""
    x = np.asarray(x, float)
    differences = x[pairs[:, 0]] - x[pairs[:, 1]]
    scatter = differences.T @ differences / len(pairs)
    scatter += regularization * np.trace(scatter) / len(scatter) * np.eye(len(scatter))
    first = np.linalg.inv(np.linalg.cholesky(scatter))
    _, vectors = np.linalg.eigh(np.cov(first @ (x - x.mean(axis=0)).T))
    return x.mean(axis=0), vectors[:, ::-1][:, :count].T @ first
