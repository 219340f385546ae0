# SPDX-License-Identifier: Apache-2.0
"""What each kernel means, in NumPy: short, slow and obviously right."""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import scipy.ndimage
import scipy.optimize
import scipy.stats


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


def ellipse_overlap_error(axes1, axes2, offset, n=600):
    """1 - intersection / union of the ellipses that two matrices make of the unit disc, on a grid.

    The second one's centre is `offset` away from the first one's.
    """
    extents = np.linalg.norm(axes1, axis=1), np.linalg.norm(axes2, axis=1)
    low = np.minimum(-extents[0], offset - extents[1])
    high = np.maximum(extents[0], offset + extents[1])
    steps = (np.arange(n) + 0.5) / n
    points = np.stack(np.meshgrid(*(low + (high - low) * steps[:, None]).T), axis=-1)
    inside1, inside2 = (
        np.linalg.norm((points - center) @ np.linalg.inv(axes).T, axis=-1) < 1
        for axes, center in ((axes1, 0), (axes2, offset))
    )
    return 1 - (inside1 & inside2).sum() / (inside1 | inside2).sum()


def map_region(frame, homography):
    """Map an affine frame by the affine map that touches the homography at its centre."""
    a, b, w = homography @ [*frame[:, 2], 1]
    x, y = a / w, b / w
    rows = [homography[0, :2] - x * homography[2, :2], homography[1, :2] - y * homography[2, :2]]
    return np.column_stack([np.array(rows) / w @ frame[:, :2], [x, y]])


def within(frame, size):
    extent = np.linalg.norm(frame[:, :2], axis=1)
    low, high = frame[:, 2] - extent, frame[:, 2] + extent
    return (low >= -0.5).all() and (high <= np.array(size) - 0.5).all()


def region_overlap_error(frame1, frame2):
    """Overlap error, both regions scaled by what gives the first a radius of 30; 1 if far apart."""
    radius = np.sqrt(abs(np.linalg.det(frame1[:, :2])))
    offset = frame2[:, 2] - frame1[:, 2]
    if np.linalg.norm(offset) >= 4 * radius:
        return 1.0
    return ellipse_overlap_error(
        30 / radius * frame1[:, :2], 30 / radius * frame2[:, :2], offset, n=300
    )


def common_regions(frames1, frames2, homography, size1, size2):
    """The regions that lie within both images, all of them in image 1: index -> frame."""
    back = np.linalg.inv(homography)
    mapped1 = [map_region(frame, homography) for frame in frames1]
    mapped2 = [map_region(frame, back) for frame in frames2]
    return (
        {i: f for i, f in enumerate(frames1) if within(f, size1) and within(mapped1[i], size2)},
        {j: m for j, m in enumerate(mapped2) if within(frames2[j], size2) and within(m, size1)},
    )


def repeatability(frames1, frames2, homography, size1, size2, overlap_error):
    """Number of common regions, and correspondences: pair -> overlap error."""
    common1, common2 = common_regions(frames1, frames2, homography, size1, size2)
    errors = {
        (i, j): region_overlap_error(f, g) for i, f in common1.items() for j, g in common2.items()
    }
    chosen = {}
    for (i, j), error in sorted(errors.items(), key=lambda item: (item[1], item[0])):
        if error < overlap_error and all(i != k and j != m for k, m in chosen):
            chosen[i, j] = error
    return min(len(common1), len(common2)), chosen


def matching_score(
    frames1, descriptors1, frames2, descriptors2, homography, size1, size2, overlap_error
):
    """Numbers of correct matches, of common regions and of matches."""
    common1, common2 = common_regions(frames1, frames2, homography, size1, size2)

    def distance(i, j):
        return np.linalg.norm(descriptors1[i].astype(float) - descriptors2[j])

    nearest2 = {i: min(common2, key=lambda j: distance(i, j)) for i in common1}
    nearest1 = {j: min(common1, key=lambda i: distance(i, j)) for j in common2}
    matches = [(i, j) for i, j in nearest2.items() if nearest1[j] == i]
    correct = [
        pair
        for pair in matches
        if region_overlap_error(common1[pair[0]], common2[pair[1]]) < overlap_error
    ]
    return len(correct), min(len(common1), len(common2)), len(matches)


# The inverted file. X holds the live documents, Q the queries, both dense: rows by words.


def word_weights(X, weighting):
    n, df = len(X), (np.asarray(X) != 0).sum(axis=0)
    if weighting == "tfidf":
        return np.array([math.log(n / f) if f > 0 else 0.0 for f in df])
    if weighting == "tfidf_smooth":
        return np.log((1 + n) / (1 + df)) + 1
    if weighting == "bm25":
        return np.log(1 + (n - df + 0.5) / (df + 0.5))
    return np.ones(len(df))


def weighted_rows(X, weights, norm, root):
    V = weights * (np.sqrt(X) if root else X)
    if norm is None:
        return V
    sizes = np.abs(V).sum(axis=1) if norm == "l1" else np.sqrt((V**2).sum(axis=1))
    return V / np.where(sizes > 0, sizes, 1)[:, None]


def bm25_rows(X, weights, k1, b):
    lengths = X.sum(axis=1)
    damped = [
        [x / (x + k1 * (1 - b + b * length / lengths.mean())) if x > 0 else 0.0 for x in row]
        for row, length in zip(X, lengths, strict=True)
    ]
    return weights * np.array(damped).reshape(X.shape)


NORMS = {"dot": None, "cosine": "l2", "hellinger": "l1", "intersection": "l1", "lp": None}


def inverted_file_rows(
    X, Q, metric="dot", weighting=None, norm="auto", burstiness=None, idf=None, k1=1.5, b=0.75
):
    """Both sides as the metric compares them; `idf`: given word weights, or those of X."""
    X, Q = (np.asarray(m, np.float32).astype(float) for m in (X, Q))
    weights = word_weights(X, weighting) if idf is None else np.asarray(idf, float)
    if weighting == "bm25":
        return bm25_rows(X, weights, k1, b), Q
    norm = NORMS[metric] if norm == "auto" else norm
    documents = weighted_rows(X, weights, norm, root=burstiness is not None)
    return documents, weighted_rows(Q, weights, norm, root=burstiness == "sqrt")


def inverted_file_scores(X, Q, metric="dot", *, p=2.0, **options):
    """What each document (column) scores for each query (row); for "lp" its distance."""
    X, Q = inverted_file_rows(X, Q, metric, **options)
    compare = {
        "dot": lambda q, d: (q * d).sum(),
        "cosine": lambda q, d: (q * d).sum(),
        "hellinger": lambda q, d: np.sqrt(q * d).sum(),
        "intersection": lambda q, d: np.minimum(q, d).sum(),
        "lp": lambda q, d: distance(q - d, p),
    }[metric]
    return np.array([[compare(q, d) for d in X] for q in Q]).reshape(len(Q), len(X))


def distance(difference, p):
    """The p-norm, without an overflow or an underflow of the p-th powers."""
    greatest = np.abs(difference).max(initial=0)
    if greatest == 0:
        return 0.0
    return greatest * ((np.abs(difference) / greatest) ** p).sum() ** (1 / p)


def best(scores, k, ids=None, smallest=False):
    """The k best of each row, ties to the smaller id; `smallest`: they are distances."""
    sign = 1 if smallest else -1
    ids = np.arange(scores.shape[1]) if ids is None else np.asarray(ids)
    out_scores, out_ids = np.full((len(scores), k), sign * np.inf), np.full((len(scores), k), -1)
    for i, row in enumerate(scores):
        order = np.lexsort((ids, sign * row))[:k]
        out_scores[i, : len(order)], out_ids[i, : len(order)] = row[order], ids[order]
    return out_scores, out_ids


def match(query, database, ratio, mutual, max_distance=np.inf, squared=True):
    """Nearest rows that pass Lowe's test, in float64; a list of (q, row, distance, ratio)."""
    distances = squared_distances(query, database)
    matches = []
    for q in range(len(query) if len(database) else 0):
        row = distances[q].argmin()
        nearest, *others = np.sort(distances[q])
        of_nearest = nearest / others[0] if others and others[0] else 1.0
        found = (np.sqrt(of_nearest) if squared else of_nearest) if others else 0.0
        chosen = not mutual or distances[:, row].argmin() == q
        if chosen and found <= ratio and nearest <= max_distance:
            matches.append((q, int(row), nearest, np.float32(found)))
    return matches


def match_words(words, weights, candidate_words, most):
    """Pairs (q, c, weight) by the words of one candidate, no feature in more than `most`."""
    n, k = words.shape
    places = sorted((-weights[q, j], j, q) for q in range(n) for j in range(k) if weights[q, j] > 0)
    counting = set()
    for word in set(words.flat):
        own = [(w, j, q) for w, j, q in places if words[q, j] == word]
        ties = [(w, j) for w, j, _ in own]
        counting |= {p for p in own if ties.index(p[:2]) + ties.count(p[:2]) <= most}
    pairs = []
    for q in range(n):
        of_q = []
        for weight, j, _ in (p for p in places if p[2] == q and p in counting):
            same = np.flatnonzero(candidate_words == words[q, j])
            if len(same) <= most:
                if len(of_q) + len(same) > most:
                    break
                of_q += [(q, int(c), -weight) for c in same]
        pairs += of_q
    return pairs


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


def match_signatures(words, signatures, candidates, max_distance):
    """Mutually nearest features of shared words, near enough; a list of (q, c, distance) each."""
    found, far = [], 2**31 - 1
    for candidate_words, rows in candidates:
        distances = np.full((len(words), len(candidate_words)), far)
        for q, c in np.ndindex(distances.shape):
            differing = [
                np.unpackbits(signatures[q, j] ^ rows[c]).sum(dtype=int)
                for j in np.flatnonzero(words[q] == candidate_words[c])
            ]
            distances[q, c] = min(differing, default=far)
        matches = []
        for q, c in enumerate(distances.argmin(axis=1) if len(candidate_words) else ()):
            if distances[q, c] <= max_distance and distances[:, c].argmin() == q:
                matches.append((q, int(c), int(distances[q, c])))
        found.append(matches)
    return found


# geometry


def verify(query_frames, candidate_frames, matches, model, threshold, min_inliers):
    """One candidate of at most 128 regular matches: (transform, inliers), or (None, none).

    The transform is 2 x 3, or 3 x 3 if it is a homography.
    """
    q, c = query_frames[matches[:, 0]].astype(float), candidate_frames[matches[:, 1]].astype(float)
    b = c[:, :, :2] @ np.linalg.inv(q[:, :, :2])
    data = Matched(q[:, :, 2], c[:, :, 2], b, np.linalg.det(b), _rotation(b), matches, threshold)
    support = _support(data)
    best, best_score, best_inliers = None, 0, []
    explained = np.zeros(len(matches), bool)
    tried = 0
    proposals = _proposals(data, support, model, min_inliers)
    for _, transform, made_from, supporters in sorted(proposals, key=lambda p: -p[0]):
        if explained[made_from].all() or supporters < len(best_inliers):
            continue
        if (tried := tried + 1) > 6:
            break
        score, inliers = _evaluate(data, transform)
        refined = transform
        for factor in (8, 4, 2, 1, 1):
            if refined is not None:
                near, agreement = _near(data, refined, factor * threshold)
                refined = _fit(data, near > 0, (near * agreement)[near > 0], model)
        if refined is not None:
            better = _evaluate(data, refined)
            if len(better[1]) >= len(inliers):
                transform, (score, inliers) = refined, better
        explained[inliers] = True
        if score > best_score:
            best, best_score, best_inliers = transform, score, inliers
    for _ in range(2):
        if len(best_inliers):
            near, agreement = _near(data, best, threshold)
            refined = _fit(data, best_inliers, (near * agreement)[best_inliers], model)
            if refined is None:
                break
            score, inliers = _evaluate(data, refined)
            if score <= best_score:
                break
            best, best_score, best_inliers = refined, score, inliers
    if model == "homography":
        frames = query_frames[matches[:, 0]].astype(float)
        best, best_score, best_inliers = _bent(data, frames, best, best_score, best_inliers)
    if _places(data, best_inliers) < min_inliers:
        return None, np.zeros(len(matches), bool)
    return best, np.isin(np.arange(len(matches)), best_inliers)


def _places(data, inliers):
    """How many are apart in both photos: taken in order, or those with fewest near them first."""

    def apart(k, j):
        ends = (_complex(x[k] - x[j]) for x in (data.p, data.q))
        return all(abs(end) > data.threshold for end in ends)

    def taken(order):
        kept = []
        for k in order:
            if all(apart(k, j) for j in kept):
                kept.append(k)
        return len(kept)

    ordered = sorted(inliers)
    crowded = sorted(ordered, key=lambda k: sum(not apart(k, j) for j in ordered))
    return max(taken(ordered), taken(crowded))


class Matched(NamedTuple):
    p: np.ndarray
    q: np.ndarray
    b: np.ndarray
    area: np.ndarray
    rotation: np.ndarray  # complex, of modulus 1
    matches: np.ndarray
    threshold: float


def _rotation(linear):
    z = linear[..., 0, 0] + linear[..., 1, 1] + 1j * (linear[..., 1, 0] - linear[..., 0, 1])
    return z / np.abs(z)


def _complex(xy):
    return xy[..., 0] + 1j * xy[..., 1]


def _support(data):
    """Which pairs of matches move as both of their frames say."""
    p, q = (_complex(x)[None, :] - _complex(x)[:, None] for x in (data.p, data.q))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = q / p
        turn = np.abs(np.angle(z / data.rotation)) <= np.radians(36)
        stretch = np.abs(np.log(np.abs(z)) - np.log(data.area) / 2) <= 0.75
    agrees = turn & stretch & (np.abs(q) >= 2 * data.threshold)
    return agrees & agrees.T


def _proposals(data, support, model, min_inliers):
    """(score, transform, made from, supporters) in the order in which they are proposed."""
    common = np.triu(support) * (support.astype(int) @ support)
    common[~np.triu(support)] = -1
    settled = 0
    triples = 0 if model == "similarity" else 64
    found = []

    def propose(transform, made_from, supporters):
        nonlocal settled
        if not _plausible(transform):
            return
        coarse, fine = (
            np.trunc(1024 * np.maximum(near, 0) * np.maximum(agreement, 0)).sum()
            for near, agreement in (_near(data, transform, f * data.threshold) for f in (8, 2))
        )
        if coarse > (1024 if min_inliers > 2 else 0):
            found.append((coarse + fine, transform, made_from, supporters))
            settled = max(settled, 1.5 * fine / 1024)

    for edge in np.argsort(-common.ravel(), kind="stable")[:64]:
        i, j = divmod(int(edge), len(common))
        supporters = common[i, j] + 2
        if common[i, j] < (1 if min_inliers > 2 else 0) or settled >= supporters:
            break
        propose(_through_two(data, i, j), [i, j], supporters)
        if supporters >= 4 and settled < supporters:
            third = np.flatnonzero(support[i] & support[j])
            third = third[third > j][:triples]
            triples -= len(third)
            for k in third:
                three = [i, j, k]
                moments = _moments(data, three, np.ones(3))
                transform = _affine(*moments)
                if (
                    transform is not None
                    and _spread(moments, transform) >= 6.25 * data.threshold**2
                ):
                    propose(transform, [i, j], supporters)
    both = np.maximum(common, common.T)  # a match has the supporters of its best pair
    alone = 1 + (both.max(1) + 1) * (both.max(1) >= 0)
    for i in np.argsort(-alone, kind="stable")[:16]:
        supporters = alone[i]
        if supporters < (2 if min_inliers > 1 else 1) or settled >= supporters:
            break
        linear = data.b[i]
        if model == "similarity":
            linear = _linear(data.rotation[i] * np.sqrt(data.area[i]))
        propose(np.c_[linear, data.q[i] - linear @ data.p[i]], [i], supporters)
    return found


def _linear(z):
    return np.array([[z.real, -z.imag], [z.imag, z.real]])


def _through_two(data, i, j):
    p, q = _complex(data.p), _complex(data.q)
    linear = _linear((q[j] - q[i]) / (p[j] - p[i]))
    return np.c_[linear, data.q[i] - linear @ data.p[i]]


def _near(data, transform, threshold):
    """1 - residual^2 / threshold^2, and the agreement of the frames; positive where an inlier."""
    linear, images = tangents(transform, data.p)
    squares = ((images - data.q) ** 2).sum(1)
    area = np.linalg.det(linear)
    sinh2 = (data.area / area + area / data.area - 2) / 4
    cosine = (data.rotation / _rotation(linear)).real
    agreement = 1 - sinh2 / np.sinh(0.875) ** 2 - (1 - cosine) / (1 - np.cos(np.radians(42)))
    near = 1 - squares / threshold**2
    return np.where(agreement > 0, near, -1), agreement


def tangents(transform, p):
    """The derivatives of the transform at each point, and the points' images."""
    linear, shift = transform[:2, :2], transform[:2, 2]
    images = p @ linear.T + shift
    if len(transform) == 2:
        return linear, images
    depth = p @ transform[2, :2] + transform[2, 2]
    images = images / depth[:, None]
    return (linear - images[:, :, None] * transform[2, :2]) / depth[:, None, None], images


def _evaluate(data, transform):
    """The score, and the inliers: each feature once, smallest residual first."""
    near, agreement = _near(data, transform, data.threshold)
    inliers, used = [], set()
    for k in np.argsort(-near, kind="stable"):
        ends = {("query", data.matches[k, 0]), ("candidate", data.matches[k, 1])}
        if near[k] >= 0 and not used & ends:
            inliers.append(k)
            used |= ends
    similar = transform[0, 0] == transform[1, 1] and transform[0, 1] == -transform[1, 0]
    penalty = 1 if len(transform) == 3 else 0 if similar else 0.5
    return (near * agreement)[inliers].sum() - penalty, inliers


def _bent(data, frames, affine, affine_score, affine_inliers):
    """The homography near the affine map, if it is determined, plausible and significantly better;
    else the affine map as it came: (transform, score, inliers)."""
    as_it_came = affine, affine_score, affine_inliers
    if len(affine_inliers) < 5:
        return as_it_came
    transform = np.r_[affine, [[0, 0, 1.0]]]
    for factor in (8, 4, 2, 1, 1):
        near, agreement = _near(data, transform, factor * data.threshold)
        transform = _homography(data, near > 0, (near * agreement)[near > 0])
        if transform is None:
            return as_it_came
    score, inliers = _evaluate(data, transform)
    near, agreement = _near(data, transform, data.threshold)
    weights = (near * agreement)[inliers]
    refined = _homography(data, inliers, weights)
    if refined is None:
        return as_it_came
    squares = [
        (weights * ((tangents(t, data.p[inliers])[1] - data.q[inliers]) ** 2).sum(1)).sum()
        for t in (_affine(*_moments(data, inliers, weights)), refined)
    ]
    n = len(inliers)
    f = ((squares[0] - squares[1]) / 2) / (squares[1] / (2 * n - 8) + 5e-7)
    score_refined, inliers_refined = _evaluate(data, refined)
    if score_refined > score:
        transform, score, inliers = refined, score_refined, inliers_refined
    depth = frames[inliers][:, :, 2] @ transform[2, :2] + transform[2, 2]
    reach = np.linalg.norm(transform[2, :2] @ frames[inliers][:, :, :2], axis=1)
    plausible = [_plausible(t) for t in tangents(transform, data.p[inliers])[0]]
    better = scipy.stats.f.sf(f, 2, 2 * n - 8) < 0.01 and score > affine_score
    if better and (depth > reach).all() and all(plausible):
        return transform, score, inliers
    return as_it_came


def _homography(data, subset, weights):
    """Weighted least squares in the image, by a general solver; None if not well determined."""
    if len(weights) < 5:
        return None
    moments = _moments(data, subset, weights)
    affine = _affine(*moments)
    if affine is None:
        return None
    total = weights.sum()
    p, q = data.p[subset] - moments[0], data.q[subset] - moments[1]
    p_unit = np.sqrt((weights * (p**2).sum(1)).sum() / total)
    q_unit = np.sqrt((weights * (q**2).sum(1)).sum() / total)

    def residuals(h):
        images = tangents(np.r_[h, 1].reshape(3, 3), p / p_unit)[1]
        return (np.sqrt(weights)[:, None] * (images - q / q_unit)).ravel()

    start = np.c_[affine[:, :2] * p_unit / q_unit, [0, 0]]
    found = scipy.optimize.least_squares(residuals, np.r_[start.ravel(), 0, 0], method="lm")
    known = np.linalg.inv(np.linalg.inv(found.jac.T @ found.jac)[6:, 6:])
    if np.linalg.eigvalsh(known)[0] < 0.25:
        return None
    scaled = np.r_[found.x, 1].reshape(3, 3)
    centre_p = np.array([[1, 0, -moments[0][0]], [0, 1, -moments[0][1]], [0, 0, p_unit]]) / p_unit
    centre_q = np.array([[q_unit, 0, moments[1][0]], [0, q_unit, moments[1][1]], [0, 0, 1]])
    return centre_q @ scaled @ centre_p


def _moments(data, subset, weights):
    p, q = data.p[subset], data.q[subset]
    p_mean, q_mean = (np.average(x, axis=0, weights=weights) for x in (p, q))
    p, q = p - p_mean, q - q_mean
    return p_mean, q_mean, p.T @ (weights[:, None] * p), q.T @ (weights[:, None] * p)


def _affine(p_mean, q_mean, pp, qp):
    if np.linalg.det(pp) <= 1e-12 * np.trace(pp) ** 2:
        return None
    linear = qp @ np.linalg.inv(pp)
    return np.c_[linear, q_mean - linear @ p_mean]


def _spread(moments, transform):
    return np.linalg.eigvalsh(moments[2])[0] * np.linalg.det(transform[:, :2])


def _squares(data, subset, weights, transform):
    residuals = data.p[subset] @ transform[:, :2].T + transform[:, 2] - data.q[subset]
    return (weights * (residuals**2).sum(1)).sum()


def _fit(data, subset, weights, model):
    """Weighted least squares: affine where it is determined and significantly better."""
    if len(weights) < 2:
        return None
    p_mean, q_mean, pp, qp = moments = _moments(data, subset, weights)
    linear = _linear((qp[0, 0] + qp[1, 1] + 1j * (qp[1, 0] - qp[0, 1])) / np.trace(pp))
    similarity = np.c_[linear, q_mean - linear @ p_mean]
    if not _plausible(similarity):
        return None
    determined = len(weights) >= 4 and _spread(moments, similarity) >= 6.25 * data.threshold**2
    affine = _affine(*moments) if model != "similarity" and determined else None
    if affine is None or not _plausible(affine):
        return similarity
    left = _squares(data, subset, weights, affine)
    gained = (_squares(data, subset, weights, similarity) - left) / 2
    return affine if gained > 4 * (left / (2 * len(weights) - 6) + 1e-6) else similarity


def _plausible(transform):
    area, squares = np.linalg.det(transform[:, :2]), (transform[:, :2] ** 2).sum()
    return 1 / 400 <= area <= 400 and squares <= area * (8 + 1 / 8)


def estimate_homogeneous(points):
    return np.c_[points, np.ones(len(points))]


def estimate_residuals(model, transform, x1, x2):
    """Pixels: the distance in image 2 of a map, or the Sampson distance of "fundamental"."""
    p, q = estimate_homogeneous(x1), estimate_homogeneous(x2)
    with np.errstate(divide="ignore", invalid="ignore"):
        if model == "fundamental":
            lines2, lines1 = p @ transform.T, q @ transform
            squares = (lines1[:, :2] ** 2).sum(1) + (lines2[:, :2] ** 2).sum(1)
            residuals = np.abs((q * lines2).sum(1)) / np.sqrt(squares)
        else:
            projected = p @ transform.T
            residuals = np.hypot(*(projected[:, :2] / projected[:, 2:] - x2).T)
    return np.nan_to_num(residuals, nan=np.inf)


def estimate_sides(transform, x1):
    """Which side of a homography's horizon each point lies on: only one is seen."""
    return np.sign(estimate_homogeneous(x1) @ transform[2])


def estimate_similarity(x1, x2):
    """Least squares, as complex numbers: z2 = a z1 + b."""
    z1, z2 = x1 @ [1, 1j], x2 @ [1, 1j]
    centred = z1 - z1.mean()
    a = np.vdot(centred, z2) / np.vdot(centred, centred)
    b = z2.mean() - a * z1.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag], [0, 0, 1]])


def estimate_affine(x1, x2):
    """Least squares."""
    solution = np.linalg.lstsq(estimate_homogeneous(x1), x2, rcond=None)[0]
    return np.vstack([solution.T, [0, 0, 1]])


def estimate_homography(x1, x2):
    """The direct linear transform (Hartley and Zisserman, algorithm 4.2), of norm 1."""
    t1, t2 = _normalisation(x1), _normalisation(x2)
    p, q = estimate_homogeneous(x1) @ t1.T, estimate_homogeneous(x2) @ t2.T
    zeros = np.zeros_like(p)
    rows = np.r_[np.c_[p, zeros, -q[:, :1] * p], np.c_[zeros, p, -q[:, 1:2] * p]]
    normalised = np.linalg.svd(rows)[2][-1].reshape(3, 3)
    transform = np.linalg.inv(t2) @ normalised @ t1
    return transform / np.linalg.norm(transform)


def estimate_fundamental(x1, x2):
    """The normalised eight-point algorithm (Hartley and Zisserman, algorithm 11.1), of norm 1."""
    t1, t2 = _normalisation(x1), _normalisation(x2)
    rows = _epipolar_rows(x1, x2, t1, t2)
    u, s, v = np.linalg.svd(np.linalg.svd(rows)[2][-1].reshape(3, 3))
    transform = t2.T @ (u * [*s[:2], 0]) @ v @ t1
    return transform / np.linalg.norm(transform)


def estimate_fundamental_from_seven(x1, x2):
    """All one to three matrices of norm 1 through seven matches: det(z a + (1 - z) b) = 0."""
    t1, t2 = _normalisation(x1), _normalisation(x2)
    a, b = np.linalg.svd(_epipolar_rows(x1, x2, t1, t2))[2][-2:].reshape(2, 3, 3)
    z = np.arange(-1.0, 3)  # four values determine a cubic
    cubic = np.polyfit(z, [np.linalg.det(v * a + (1 - v) * b) for v in z], 3)
    roots = np.roots(cubic)
    real = roots[np.abs(roots.imag) < 1e-9 * (1 + np.abs(roots))].real
    found = [t2.T @ (root * a + (1 - root) * b) @ t1 for root in real]
    return [transform / np.linalg.norm(transform) for transform in found]


def _normalisation(points):
    """The similarity that makes the mean 0 and the mean square distance from it 2."""
    mean = points.mean(0)
    scale = np.sqrt(2 / ((points - mean) ** 2).sum(1).mean())
    return np.array([[scale, 0, -scale * mean[0]], [0, scale, -scale * mean[1]], [0, 0, 1]])


def _epipolar_rows(x1, x2, t1, t2):
    p, q = estimate_homogeneous(x1) @ t1.T, estimate_homogeneous(x2) @ t2.T
    return (q[:, :, None] * p[:, None, :]).reshape(-1, 9)


def squared_distances(X, Y):
    """Squared distances between the rows of X and of Y: integers for bytes, else float64."""
    wide = np.int64 if X.dtype == Y.dtype == np.uint8 else np.float64
    return ((X.astype(wide)[:, None, :] - Y.astype(wide)[None, :, :]) ** 2).sum(axis=2)


def hamming_distances(X, Y):
    """Bits in which the packed rows of X and of Y differ."""
    return np.unpackbits(X[:, None, :] ^ Y[None, :, :], axis=2).sum(axis=2, dtype=np.int64)


def neighbor_distances(X, Y, metric):
    """Distances between the rows of X and of Y, as indexes of neighbours have them."""
    if metric == "hamming":
        return hamming_distances(X, Y)
    if metric == "l2":
        return squared_distances(X, Y)
    wide = np.int64 if X.dtype == Y.dtype == np.uint8 else np.float64
    x, y = X.astype(wide), Y.astype(wide)
    return x @ y.T if metric == "ip" else np.abs(x[:, None, :] - y[None, :, :]).sum(axis=2)


def principal_coordinates(X, count):
    """Coordinates along the directions of greatest variance, around the mean."""
    centered = X - X.mean(axis=0, dtype=float)
    return centered @ np.linalg.svd(centered, full_matrices=False)[2][:count].T


def procrustes(X, Y):
    """The matrix of orthonormal rows that brings the rows of X nearest to those of Y."""
    left, _, right = np.linalg.svd(X.T @ Y, full_matrices=False)
    return left @ right


def quantization_loss(projected, corners):
    """How far corners are from points that were turned in the best way."""
    return ((corners - projected @ procrustes(projected, corners)) ** 2).sum()


def spectral_half_periods(X, count):
    """Of the slowest waves over the box of the points: half periods from its low sides."""
    coordinates = principal_coordinates(X, min(count, X.shape[1]))
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    waves = [
        (waves / (high[i] - low[i]), waves, i)
        for waves in range(1, count + 1)
        for i in range(len(low))
    ]
    chosen = sorted(waves)[:count]
    return np.stack(
        [waves * (coordinates[:, i] - low[i]) / (high[i] - low[i]) for _, waves, i in chosen],
        axis=1,
    )


def nearest(distances, k):
    """The k smallest of each row, the smaller column first among equals; missing: -1."""
    ids = np.argsort(distances, axis=1, kind="stable")[:, :k].astype(np.int64)
    found = np.take_along_axis(distances, ids, axis=1)
    farthest = np.iinfo(np.int32).max if distances.dtype == np.int64 else np.inf
    missing = ((0, 0), (0, k - ids.shape[1]))
    return np.pad(found, missing, constant_values=farthest), np.pad(
        ids, missing, constant_values=-1
    )


def nearest_neighbors(X, Q, k, metric):
    """Distances and rows of the k nearest to each row of Q, as indexes of neighbours have them."""
    sign = -1 if metric == "ip" else 1
    distances, rows = nearest(sign * neighbor_distances(Q, X, metric), k)
    if distances.dtype == np.int64:  # of bytes
        distances[rows < 0] = np.iinfo(np.int32).max + (metric == "ip")
    return sign * distances, rows


def neighbors_within(X, Q, radius, metric):
    """Offsets, distances and rows of all within a radius; of inner products: of at least that."""
    sign = -1 if metric == "ip" else 1
    distances = sign * neighbor_distances(Q, X, metric)
    order = [np.argsort(row, kind="stable")[: (row <= sign * radius).sum()] for row in distances]
    near = [row[own] for row, own in zip(distances, order, strict=True)]
    return np.cumsum([0, *map(len, order)]), sign * np.concatenate(near), np.concatenate(order)


def hellinger_roots(X):
    """Roots of shares: of bytes 512 times as much, to the nearest, at most 255; in float32."""
    total = X.sum(axis=1, keepdims=True, dtype=np.float64)
    if X.dtype == np.uint8:
        scale = np.float32(1) / np.where(total > 0, total, 1).astype(np.float32)
        roots = np.float32(512) * np.sqrt(X.astype(np.float32) * scale)
        return np.minimum(np.floor(roots + np.float32(0.5)), 255).astype(np.uint8)
    return np.sqrt(X / np.where(total > 0, total, 1)).astype(np.float32)


def repair_empty(X, labels, distances, num_clusters):
    """Each empty cluster takes the farthest point that leaves no cluster empty, none twice."""
    labels, taken = labels.copy(), []
    candidates = iter(np.lexsort((np.arange(len(X)), -distances)))
    for c in np.setdiff1d(np.arange(num_clusters), labels):
        for i in candidates:
            if distances[i] == 0:
                return labels
            if (labels == labels[i]).sum() > 1 and not any((X[i] == X[j]).all() for j in taken):
                labels[i] = c
                taken.append(i)
                break
    return labels


def update_centers(X, labels, distances, centers):
    """The mean of each cluster; bytes are rounded, halves up."""
    labels, new = repair_empty(X, labels, distances, len(centers)), centers.copy()
    for c in np.unique(labels):
        members = X[labels == c]
        if X.dtype == np.uint8:
            total, count = members.sum(axis=0, dtype=np.int64), len(members)
            new[c] = (2 * total + count) // (2 * count)
        else:
            total = np.zeros(X.shape[1])
            for row in members:
                total += row
            new[c] = total / len(members)
    return new


def lloyd(X, centers, iterations):
    """The centres after at most so many rounds, and the number of rounds."""
    for done in range(1, iterations + 1):
        distances, ids = nearest(squared_distances(X, centers), 1)
        new = update_centers(X, ids[:, 0], distances[:, 0], centers)
        if np.array_equal(new, centers):
            return centers, done
        centers = new
    return centers, iterations


def random_numbers(seed, item):
    """The numbers of 64 bits of a stream, one by one."""
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for block in itertools.count():
        words = philox([block, 0, item & 0xFFFFFFFF, item >> 32], key)
        yield words[0] | words[1] << 32
        yield words[2] | words[3] << 32


def random_below(n, numbers):
    """A number below n; those that would favour some are passed over."""
    return next(number for number in numbers if number >= 2**64 % n) % n


def distinct_rows(X, count, numbers):
    """The first rows of a random order that are equal to none before."""
    order, chosen = list(range(len(X))), []
    for i in range(len(X)):
        if len(chosen) == count:
            break
        j = i + random_below(len(X) - i, numbers)
        order[i], order[j] = order[j], order[i]
        if not any((X[order[i]] == X[j]).all() for j in chosen):
            chosen.append(order[i])
    return chosen


def vocabulary_tree(X, branching, depth, iterations, seed):
    """Centers and `children` of the nodes, by level."""
    level, number, centers, counts = [X], 0, [], []
    for _ in range(depth):
        below = []
        for i, points in enumerate(level):
            chosen = distinct_rows(points, branching, random_numbers(seed, number + i))
            if len(chosen) < 2 and number > 0:
                counts.append(0)
                continue
            found, _ = lloyd(points, points[chosen], iterations)
            labels = nearest(squared_distances(points, found), 1)[1][:, 0]
            kept = np.unique(labels)
            counts.append(len(kept))
            centers += list(found[kept])
            below += [points[labels == c] for c in kept]
        number += len(level)
        level = below
    counts += [0] * (len(centers) + 1 - len(counts))
    return np.array(centers), np.cumsum([0, *counts])


def descend(centers, children, Q, metric):
    """The nodes that each query goes through."""
    paths = []
    for q in Q:
        path, node = [], -1
        while children[node + 1] < children[node + 2]:
            own = slice(children[node + 1], children[node + 2])
            distances = neighbor_distances(q[None], centers[own], metric)[0]
            node = own.start + int(np.argmin(distances))
            path.append(node)
        paths.append(path)
    return paths


# ---- Features. A layer of a scale space is (image, sigma, step); an octave is six of them.


@functools.cache
def gaussian_taps(sigma):
    """The taps at -radius to radius whose spectrum is the Gaussian's up to the sampling limit."""
    radius = max(6, math.ceil(3.5 * sigma))
    w = (np.arange(5_000) + 0.5) * np.pi / 5_000
    k = np.arange(-radius, radius + 1)
    taps = np.cos(np.outer(k, w)) @ np.exp(-((sigma * w) ** 2) / 2)
    if sigma < 1.3:  # they ring where they end
        taps[[0, -1]] /= 2
    return taps / taps.sum()


def blur(image, sigma):
    for axis in (0, 1):
        image = scipy.ndimage.correlate1d(image, gaussian_taps(sigma), axis, mode="mirror")
    return image


def scale_space(photo, first_octave=-1):
    """The octaves of a photo, which is taken to have a blur of 0.35 pixels."""

    def layer(octave, i, image, before, step):
        sigma = 1.6 * 2 ** (octave + i / 3)
        return blur(image, math.sqrt(sigma**2 - before**2) / step), sigma, step

    octaves = [[layer(first_octave, 0, photo.astype(float), 0.35, 1)]]
    while True:
        octave, (image, sigma, step) = len(octaves) - 1 + first_octave, octaves[-1][-1]
        if len(octaves[-1]) < 6:
            octaves[-1].append(layer(octave, len(octaves[-1]), image, sigma, step))
            continue
        image, sigma, step = octaves[-1][3]  # of twice the scale that this octave began with
        if octave == -1:
            octaves.append(octaves[-1][3:])
        elif min(image[::2, ::2].shape) < 8:
            return octaves
        else:
            octaves.append([(image[::2, ::2], sigma, 2 * step)])


def nearest_layer(space, sigma):
    """Of the first layer, the middle ones of every octave, and the last two."""
    layers = [space[0][0], *(layer for octave in space for layer in octave[1:4]), *space[-1][4:]]
    return min(layers, key=lambda layer: abs(math.log(layer[1] / sigma)))


def detect_dog(space, threshold, max_edge_ratio):
    """Extrema of differences of Gaussians: frames and responses, by octave, row, scale, column."""
    found = []
    for octave in space:
        step, grid = octave[0][2], 2 if octave[0][1] < 1.2 * octave[0][2] else 1
        d = np.stack([coarse[0] - fine[0] for fine, coarse in itertools.pairwise(octave)])
        if min(d.shape[1:]) <= 10:  # all of it is border
            continue
        places = _extremal(d, threshold / 2) | _extremal(-d, threshold / 2)
        places = sorted(np.argwhere(places).tolist(), key=lambda at: (at[1], at[0], at[2]))
        fine = d.astype(float) if grid == 1 else _doubled(_doubled(d.astype(float), 2), 1)
        for r, y, x in places:
            at = _refined(fine, r, y * grid, x * grid, grid, threshold, max_edge_ratio)
            if at is not None:
                s, y, x, response = at
                sigma = octave[0][1] * 2 ** (s / 3)
                frame = [[sigma, 0, x * step / grid], [0, sigma, y * step / grid]]
                found.append((frame, response))
    frames, responses = zip(*found, strict=True) if found else ((), ())
    return np.reshape(frames, (-1, 2, 3)).astype(float), np.array(responses, float)


def _extremal(d, least):
    """Where d is above `least` and the 26 neighbours; of equals, the first in order counts."""
    inner = d[1:-1, 5:-5, 5:-5]  # of scale, row, column
    where = inner > least
    for i, (r, y, x) in enumerate(np.ndindex(3, 3, 3)):
        other = d[r : len(d) - 2 + r, 4 + y : d.shape[1] - 6 + y, 4 + x : d.shape[2] - 6 + x]
        if i != 13:
            where &= inner > other if i < 13 else inner >= other
    return np.pad(where, [(1, 1), (5, 5), (5, 5)])


def _doubled(d, axis):
    """The values of d and those half-way between, by six taps, exact for polynomials to x^5."""
    d = np.moveaxis(d, axis, 0)
    a, b, c, e, f, g = (np.pad(d, [(2, 3), (0, 0), (0, 0)])[i : i + len(d)] for i in range(6))
    half = (150 * (c + e) - 25 * (b + f) + 3 * (a + g)) / 256
    return np.moveaxis(np.stack([d, half], 1).reshape(-1, *d.shape[1:]), 0, axis)


def _refined(d, r, y, x, grid, threshold, max_edge_ratio):
    """The extremum near a place on the grid: its scale, row, column and response, or None."""
    border, climbing = 5 * grid, grid == 2
    for _ in range(5 if grid == 1 else 8):
        near = d[r - 1 : r + 2, y - 1 : y + 2, x - 1 : x + 2]
        v = near[1, 1, 1]
        if climbing:  # to the greatest neighbour
            signed = near if v > 0 else -near
            climbing = signed.max() > signed[1, 1, 1]
        if climbing:
            move = np.subtract(np.unravel_index(np.argmax(signed), (3, 3, 3)), 1)
        else:  # to the extremum of the quadratic
            gradient, hessian = _derivatives(near)
            if np.linalg.det(hessian) == 0:
                return None
            offset = -np.linalg.solve(hessian, gradient)
            if (np.abs(offset) <= 0.7).all():
                response = v + gradient @ offset / 2
                (yy, xy), (_, xx) = hessian[1:, 1:]
                area, sum_squared = xx * yy - xy * xy, (xx + yy) ** 2
                edge = sum_squared * max_edge_ratio >= (max_edge_ratio + 1) ** 2 * area
                weak = abs(response) < threshold
                s, y, x = np.add([r, y, x], offset)
                return None if weak or area <= 0 or edge else (s, y, x, abs(response))
            if not (np.abs(offset) < [4, 8, 8]).all():
                return None
            move = np.rint(offset).astype(int)
        r, y, x = np.add([r, y, x], move)
        rows, cols = np.subtract(d.shape[1:], border)
        if not (1 <= r <= 3 and border <= y < rows and border <= x < cols):
            return None
    return None


def _derivatives(near):
    """The gradient and second derivatives of 3 x 3 x 3 values, by central differences."""
    e = np.eye(3, dtype=int)

    def at(offset):
        return near[tuple(1 + offset)]

    gradient = np.array([(at(a) - at(-a)) / 2 for a in e])
    hessian = np.empty((3, 3))
    for i, a in enumerate(e):
        for j, b in enumerate(e):
            hessian[i, j] = (
                at(a) + at(-a) - 2 * at(0 * a)
                if i == j
                else (at(a + b) - at(a - b) - at(b - a) + at(-a - b)) / 4
            )
    return gradient, hessian


def sampled(layer, frame, spacing, side):
    """side x side bilinear samples in the plane of a frame; the border's pixels go on for ever."""
    image, _, step = layer
    u = (np.arange(side) - (side - 1) / 2) * spacing
    x, y = (a * u + b * u[:, None] + centre for a, b, centre in np.asarray(frame, float) / step)
    last = np.subtract(image.shape, 1)
    places = [np.clip(y, 0, last[0]), np.clip(x, 0, last[1])]
    return scipy.ndimage.map_coordinates(image.astype(float), places, order=1, mode="nearest")


def polar_gradients(patch):
    """Length and direction (turns, anticlockwise as seen, from the x axis), without the border."""
    dx, dy = patch[1:-1, 2:] - patch[1:-1, :-2], patch[:-2, 1:-1] - patch[2:, 1:-1]
    return np.hypot(dx, dy), np.arctan2(dy, dx) / (2 * np.pi) % 1


def scale_of(frame):
    return math.sqrt(abs(np.linalg.det(np.asarray(frame, float)[:, :2])))


def orientations(space, frame, max_orientations=4):
    """The dominant directions of the gradients around a frame, in turns, the strongest first."""
    spacing = 0.45
    patch = sampled(nearest_layer(space, scale_of(frame)), frame, spacing, 16)
    length, turn = polar_gradients(patch)
    u = (np.arange(14) - 6.5) * spacing
    weight = np.exp(-((u / 1.5) ** 2) / 2)
    raw = np.bincount(
        (turn * 36).astype(int).ravel() % 36, (length * np.outer(weight, weight)).ravel(), 36
    )
    h = scipy.ndimage.correlate1d(raw, np.array([1, 4, 6, 4, 1]) / 16, mode="wrap")
    left, right = np.roll(h, 1), np.roll(h, -1)
    peaks = np.flatnonzero((h > left) & (h >= right) & (h >= 0.8 * h.max()))
    peaks = peaks[np.argsort(-h[peaks], kind="stable")][:max_orientations]
    shift = (left - right)[peaks] / (left - 2 * h + right)[peaks] / 2
    return (peaks + 0.5 + shift) / 36


def turned(frame, turn):
    """The frame with its x axis turned anticlockwise as seen."""
    c, s = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
    return np.column_stack([np.asarray(frame)[:, :2] @ [[c, s], [-s, c]], np.asarray(frame)[:, 2]])


def clipped(h, root):
    """A histogram without values above 0.2 of its length, then of length 512: a descriptor."""
    h = np.minimum(h, 0.2 * np.linalg.norm(h))
    if not h.any():
        return h
    return np.minimum(512 * (np.sqrt(h / h.sum()) if root else h / np.linalg.norm(h)), 255)


def sift(space, frame, magnification=3, root=True):
    """The SIFT descriptor of a frame before rounding: 4 x 4 cells of 8 directions."""
    patch = sampled(nearest_layer(space, scale_of(frame)), frame, magnification / 6, 32)
    length, turn = polar_gradients(patch)
    place = (np.arange(30) - 14.5) / 6  # in cells
    gaussian = np.exp(-((place / 2) ** 2) / 2)
    cells = np.maximum(0, 1 - np.abs(place - np.arange(-1.5, 2)[:, None]))
    apart = np.abs(turn - np.arange(8)[:, None, None] / 8)
    directions = np.maximum(0, 1 - 8 * np.minimum(apart, 1 - apart))
    weighed = directions * length * np.outer(gaussian, gaussian)
    h = np.einsum("ri,cj,dij->rcd", cells, cells, weighed).ravel()
    h = np.minimum(h, 0.2 * np.linalg.norm(h))
    if not h.any():
        return h
    return np.minimum(512 * (np.sqrt(h / h.sum()) if root else h / np.linalg.norm(h)), 255)
    return clipped(h, root)


def cs_lbp(space, frame, magnification=3, root=True):
    """The CS-LBP descriptor of a frame before rounding: 4 x 4 cells of 16 patterns."""
    layer = nearest_layer(space, max(scale_of(frame) / 2, 1e-9))
    patch = sampled(layer, frame, magnification / 11, 48)
    if np.ptp(patch) == 0:
        return np.zeros(256)
    y, x = np.mgrid[2:46, 2:46].astype(float)
    pattern = np.zeros((44, 44), int)
    for i in range(4):
        dx, dy = 2 * np.cos(np.pi / 4 * i), -2 * np.sin(np.pi / 4 * i)
        ahead, behind = (
            scipy.ndimage.map_coordinates(patch, [y + sign * dy, x + sign * dx], order=1)
            for sign in (1, -1)
        )
        pattern += (ahead - behind > 0.01 * np.ptp(patch)) << i
    place = (np.arange(44) - 21.5) / 11  # in cells
    cells = np.maximum(0, 1 - np.abs(place - np.arange(-1.5, 2)[:, None]))
    h = np.einsum("ri,cj,pij->rcp", cells, cells, pattern == np.arange(16)[:, None, None])
    return clipped(h.ravel(), root)


def _shifted(image, dx, dy):
    return np.roll(image, (-dy, -dx), (0, 1))  # around the borders, where nothing is compared


def laplacian(image, sigma):
    """|sigma^2 (Lxx + Lyy)| of an image smoothed by sigma pixels."""
    around = sum(_shifted(image, *d) for d in ((1, 0), (-1, 0), (0, 1), (0, -1)))
    return np.abs(sigma**2 * (around - 4 * image))


def hessian_determinant(image, sigma):
    """sigma^4 (Lxx Lyy - Lxy^2) of an image smoothed by sigma pixels."""
    xx = _shifted(image, 1, 0) + _shifted(image, -1, 0) - 2 * image
    yy = _shifted(image, 0, 1) + _shifted(image, 0, -1) - 2 * image
    corners = [_shifted(image, x, y) * x * y for x in (-1, 1) for y in (-1, 1)]
    return sigma**4 * (xx * yy - (sum(corners) / 4) ** 2)


def harris_measure(image, sigma_d, sigma):
    """det M - 0.04 (trace M)^2, of the moments M of an image smoothed by sigma_d pixels."""
    dy, dx = np.gradient(np.pad(image, 1, mode="reflect"))
    dx, dy = dx[1:-1, 1:-1], dy[1:-1, 1:-1]
    xx, xy, yy = (sigma_d**2 * blur(product, sigma) for product in (dx * dx, dx * dy, dy * dy))
    return xx * yy - xy**2 - 0.04 * (xx + yy) ** 2


def _peak(a, b, c):
    """Where the parabola through (-1, a), (0, b), (1, c) has its peak."""
    return np.clip((a - c) / (2 * (a - 2 * b + c)), -0.5, 0.5)


def _peak_in_plane(near):
    """Where the quadratic through 3 x 3 values has its peak: x and y."""
    gradient = [(near[1, 2] - near[1, 0]) / 2, (near[2, 1] - near[0, 1]) / 2]
    xx, yy = (line[0] - 2 * line[1] + line[2] for line in (near[1], near[:, 1]))
    xy = (near[2, 2] - near[2, 0] - near[0, 2] + near[0, 0]) / 4
    if xx * yy - xy**2 <= 0:
        return np.zeros(2)
    return np.clip(-np.linalg.solve([[xx, xy], [xy, yy]], gradient), -0.5, 0.5)


def laplace_selected(octaves, measure, threshold):
    """Rows (x, y, sigma, response): maxima over space at which the Laplacian peaks over scale.

    An octave is a list of (image, sigma, step); `measure` takes the octave and a layer's number.
    """
    found = []
    for octave in octaves:
        step = octave[0][2]
        for k in (1, 2, 3):
            response = measure(octave, k)
            scales = [laplacian(image, sigma / step) for image, sigma, _ in octave[k - 1 : k + 2]]
            maxima = (response == scipy.ndimage.maximum_filter(response, 3)) & (
                response > threshold
            )
            maxima &= (scales[1] > scales[0]) & (scales[1] >= scales[2])
            for y, x in np.argwhere(maxima[5:-5, 5:-5]) + 5:
                dx, dy = _peak_in_plane(response[y - 1 : y + 2, x - 1 : x + 2])
                ds = _peak(*(scale[y, x] for scale in scales))
                sigma = octave[k][1] * 2 ** (ds / 3)
                found.append(((x + dx) * step, (y + dy) * step, sigma, response[y, x]))
    return np.array(found).reshape(-1, 4)


def thin(found):
    """Of two near doubles among rows (x, y, sigma, response) only the stronger."""
    kept = []
    for row in found[np.argsort(-found[:, 3], kind="stable")]:
        doubles = [
            np.hypot(*(row[:2] - other[:2])) < other[2] / 2
            and max(row[2], other[2]) < 1.4 * min(row[2], other[2])
            for other in kept
        ]
        if not any(doubles):
            kept.append(row)
    return np.array(kept).reshape(-1, 4)


def affine_shape(space, frame, max_iterations=16, convergence=0.1, max_anisotropy=6.0):
    """The axes of the region, a lower triangle, and what became of it."""
    scale, axes = scale_of(frame), np.eye(2)
    layer = nearest_layer(space, scale / 2)
    u = (np.arange(1, 15) - 7.5) / 5
    window = np.exp(-0.5 * u**2) * np.exp(-0.5 * u[:, None] ** 2)
    for _ in range(max_iterations):
        patch = sampled(layer, np.column_stack([scale * axes, frame[:, 2]]), 0.75, 16)
        dx, dy = (patch[:, 2:] - patch[:, :-2])[1:-1], (patch[2:] - patch[:-2])[:, 1:-1]
        xx, xy, yy = ((window * product).sum() for product in (dx * dx, dx * dy, dy * dy))
        moments = np.array([[xx, xy], [xy, yy]])
        if np.linalg.det(moments) <= 1e-6 * np.trace(moments) ** 2:
            return scale * axes, "unstructured"
        change = np.linalg.cholesky(np.linalg.inv(moments / np.sqrt(np.linalg.det(moments))))
        axes = axes @ change
        if np.linalg.cond(axes) > max_anisotropy:
            return scale * axes, "elongated"
        if np.linalg.cond(change) * (1 - convergence) < 1:
            return scale * axes, "converged"
    return scale * axes, "unconverged"
