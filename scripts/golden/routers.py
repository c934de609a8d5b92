"""Scores, selection, weights and balance losses of routers, on Scalars or floats."""

import autodiff as ad
from autodiff import value_of
from sinkhorn import top_k


def scores_of(logits, score):
    if score in ("softmax_pre", "softmax_post"):
        return ad.softmax(logits)
    if score == "sigmoid":
        return [ad.sigmoid(l) for l in logits]
    if score == "sqrtsoftplus":
        return [ad.sqrt(ad.softplus(l)) for l in logits]
    raise ValueError(score)


def weights_of(logits, expert_ids, score, renormalize):
    """Weights of the selected experts of one token. softmax_post: softmax over the selected logits."""
    if score == "softmax_post":
        return ad.softmax([logits[e] for e in expert_ids])
    scores = scores_of(logits, score)
    weights = [scores[e] for e in expert_ids]
    if renormalize and len(weights) > 1:
        norm = ad.total(weights)
        weights = [w / norm for w in weights]
    return weights


def select(logits, k):
    """top-k ids per token; every score function is increasing in the logit, so logits decide."""
    return [top_k([value_of(l) for l in row], k) for row in logits]


def counts_of(expert_ids, E):
    return [sum(row.count(e) for row in expert_ids) for e in range(E)]


def _mean_probs(probs):
    return [ad.total(row[e] for row in probs) / len(probs) for e in range(len(probs[0]))]


def switch_loss(logits, k):
    """E / (k T^2) sum_e n_e sum_t p_te: minimum 1. One layer; counts carry no gradient."""
    T, E = len(logits), len(logits[0])
    n = counts_of(select(logits, k), E)
    P = _mean_probs([ad.softmax(row) for row in logits])
    return ad.dot(P, [E * count / (k * T) for count in n])


def hf_loss(layers, k):
    """E sum_e f_e P_e with f, P over the tokens of all layers: minimum k."""
    rows = [row for logits in layers for row in logits]
    return switch_loss(rows, k) * k


def flaxformer_loss(logits, k):
    """E^2 mean_e(fraction of tokens that select e * P_e), one group: minimum k."""
    return switch_loss(logits, k) * k


def sequence_loss(logits, k, sequence_length):
    """Mean over sequences of the per-sequence loss (Megatron-LM seq_aux_loss, DeepSeek)."""
    parts = [logits[i : i + sequence_length] for i in range(0, len(logits), sequence_length)]
    return ad.total(switch_loss(part, k) for part in parts) / len(parts)


def z_loss(logits):
    """mean_t logsumexp^2."""
    lses = [ad.logsumexp(row) for row in logits]
    return ad.dot(lses, lses) / len(lses)
