"""Latent class analysis of the votes of one-sided rules (Lazarsfeld & Henry 1968; Dawid & Skene 1979).

Rows come from C components, each of one class; given the component, blocks of voters (`blocks`) are
independent, and to abstain is an outcome like any other:

    log P(component g, votes) = log pi_g + sum over blocks of log theta[outcome of the block, g].

With one component a class this is Dawid & Skene's model; more components a class let rules depend on each
other, as different kinds of fraud, or habits that set off several rules, make them do. Maximum a posteriori
by expectation maximisation: theta = (n_outcome,g + rate_outcome) / (n_g + 1), a prior of one row, which
fades; pi is free. Blocks and components are chosen by a likelihood criterion that discounts what no candidate
explains.

Shapes: m voters, k classes, C components, o outcomes of blocks.
"""

from dataclasses import replace
from functools import partial

import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2

from firstday.labels.models.base import (
    SMALLEST,
    ClassShares,
    Expected,
    Floats,
    LabelModel,
    Sums,
    VotePatterns,
)
from firstday.labels.models.blocks import Blocks
from firstday.labels.models.components import Candidate, Search, one_a_class, search
from firstday.labels.models.mixture import Encoded, Fit, LatentClasses, climb, expected_sums, maximise
from firstday.labels.patterns import Patterns

LAST_STEPS = 2_000  # of the last climb, over all patterns, where they say how common the classes are
FEW_STEPS = 10  # ... where they do not: there likelihood goes on to rise as the classes get lost
ENOUGH_CALLED = 0.5  # of the rows that a class has, those that are called at least under a given balance
MOST_JOBS = 45  # of Spark, one a step, where patterns are too many for the driver
MOST_PATTERNS = 3_000  # that blocks and components are searched on
FIRST_REACH, REACH = 0.05, 2.0  # steps of the log odds of a share by which its limits are looked for
RARE = 0.3  # share of the rarer class up to which the model is for
FITS = 0.9  # of the comparative fit index
TELLS = 1.5  # P(vote | its class) / P(vote | not), from which a voter is informative
ENOUGH = 3  # independent voters for the rarer class from which its share is known
WIDEST = 4.0  # limits (high / low) up to which it is reported: within a factor of two of their middle


# --- how common each class is


def share_limits(found: Search) -> tuple[Floats, Floats]:
    """(k,) and (k,): 95 % limits of the shares of all rows that are of each class."""
    classes = len(found.best.fit.of_class())
    if classes == 2:
        low, high = _limits(found, 1)
        return np.array([1 - high, low]), np.array([1 - low, high])
    low, high = np.array([_limits(found, each) for each in range(classes)]).T
    return low, high


def _limits(found: Search, of_class: int) -> tuple[float, float]:
    """Limits of one class's share. They span the profile likelihood's, the
    shares at which the log-likelihood, all else fitted anew, is 1.92 times the misfit below its maximum, and
    what other numbers of components say. They hold if rules depend on each other no more than is modelled.
    """
    limits = (_limit(found.best, of_class, direction) for direction in (-1.0, 1.0))
    said = [*limits, *(each.fit.of_class()[of_class] for each in found.others)]
    return float(min(said)), float(max(said))


def _limit(candidate: Candidate, of_class: int, direction: float) -> float:
    """A limit of the profile likelihood, by steps outward that grow."""
    encoded, fit = candidate.encoded, candidate.fit
    shares = fit.of_class()
    most = np.sqrt(chi2.ppf(0.95, 1) / 2 * candidate.meetings.misfit)
    scores, before, reached, step = fit.scores, float(logit(shares[of_class])), 0.0, FIRST_REACH
    while step < REACH and np.isfinite(before):
        after = before + direction * step
        balance = shares / max(1 - shares[of_class], SMALLEST) * expit(-after)
        balance[of_class] = expit(after)
        found = climb(encoded.expect, scores, balance)
        # The root of the loss grows about as the distance does.
        loss = np.sqrt(max(fit.log_likelihood - found.log_likelihood, 0.0))
        if loss >= most:
            part = (most - reached) / max(loss - reached, SMALLEST)
            return float(expit(before + part * (after - before)))
        scores, before, reached, step = found.scores, after, loss, step * 1.5
    return float(direction > 0)


# --- the label model


def fit(counted: VotePatterns, balance: Floats | None = None) -> LabelModel:
    """The latent class model. balance: (k,), shares of all rows, silent ones included, where they are known:
    it decides where the votes do not say how common the classes are; where they do, it is kept within their
    limits, and left aside beyond.

    Blocks and components are found on at most MOST_PATTERNS patterns, a sample of more; the last climb is
    over all patterns, where they are too many for the driver by a Spark job a step.
    """
    return attempt(counted, balance)[0]


def attempt(counted: VotePatterns, balance: Floats | None = None) -> tuple[LabelModel, str | None]:
    """The model, and why the votes of one-sided rules on a rare class are better not left to it, if so."""
    sampled = Patterns.sampled(counted, MOST_PATTERNS)
    found = search(sampled)
    ratios = likelihood_ratios(sampled, sampled.expect(found.best.fit.scores))
    known = _class_shares(found, ratios)
    best, kept = found.best, balance
    notes: tuple[str, ...] = ()
    if balance is not None and known.doubt is None and ((balance < known.low) | (balance > known.high)).any():
        kept, notes = None, (_contradicted(balance, known),)
    elif balance is not None:
        given = _given(found.best, sampled, balance)
        if _calls_enough(given, balance):
            best, known = given, ClassShares(balance, balance, None)
        else:
            kept, notes = None, (_calls_none(balance),)
    last = _on_all(counted, best, kept, LAST_STEPS if known.doubt is None else FEW_STEPS)
    expected, votes = counted.expect(last.scores), counted.given.sum(axis=1)
    model = LabelModel(
        "latent_class",
        counted.voters,
        counted.classes,
        last.scores,
        last.of_class(),
        {
            "accuracy": expected.right.sum(axis=1) / np.maximum(votes, 1),
            "propensity": votes / counted.total,
        },
        notes=(*notes, *_described(last, counted.voters)),
        iterations=last.steps,
        converged=last.converged or (known.doubt is not None and best.fit.converged),
        class_shares=known,
    )
    return model, _doubt(found.best, last.of_class(), ratios)


def likelihood_ratios(counted: VotePatterns, expected: Expected) -> Floats:
    """(m, k): P(vote | its class) / P(vote | any other); NaN where it is never given. Below 1 a vote speaks
    against the class that it is for.
    """
    of_class, right, given = expected.of_all(counted.uncovered), expected.right, counted.given
    inside = right / np.maximum(of_class, SMALLEST)
    outside = np.maximum(given - right, SMALLEST) / np.maximum(counted.total - of_class, SMALLEST)
    return np.where(given > 0, inside / outside, np.nan)


def _given(best: Candidate, sampled: Patterns, balance: Floats) -> Candidate:
    """The candidate under a known balance: of going on from what was found freely, and of beginning anew, the
    likelier.
    """
    on = replace(best, fit=climb(best.encoded.expect, best.fit.scores, balance))
    anew = one_a_class(best.encoded, sampled.together, balance)
    is_named = (anew.fit.scores.classes == np.arange(len(balance))).all()
    return anew if is_named and anew.criterion() > on.criterion() else on


def _calls_enough(given: Candidate, balance: Floats) -> bool:
    """Whether rows that are more likely than not of the rarest class are at least ENOUGH_CALLED of as many as
    the class has. Where votes do not say how common it is, a balance may leave every row below one half.
    """
    rare, encoded = int(balance.argmin()), given.encoded
    called = given.fit.scores.posterior(encoded.votes).argmax(axis=1) == rare
    return bool(encoded.rows[called].sum() >= ENOUGH_CALLED * balance[rare] * encoded.rows.sum())


def _calls_none(balance: Floats) -> str:
    return (
        f"with --balance {', '.join(f'{share:.1%}' for share in balance)} hardly a row would be more likely "
        "than not of the rarer class: it is left aside"
    )


def _contradicted(balance: Floats, known: ClassShares) -> str:
    spans = zip(known.low, known.high, strict=True)
    return (
        f"the votes contradict --balance {', '.join(f'{share:.1%}' for share in balance)}, which is left "
        f"aside: they say {', '.join(f'{low:.1%} to {high:.1%}' for low, high in spans)}"
    )


def _on_all(counted: VotePatterns, best: Candidate, balance: Floats | None, steps: int) -> Fit:
    """The candidate's fit, gone on with over all patterns for at most so many steps."""
    blocks, scores = Blocks.of(best.encoded.blocks.groups, counted), best.fit.scores
    sums, mass, _ = counted.add(partial(expected_sums, scores, blocks))
    begun = maximise(blocks, sums, mass, scores.classes, balance)[0]
    if counted.on_driver is not None:
        return climb(Encoded(*counted.on_driver, blocks).expect, begun, balance, steps)

    def in_spark(now: LatentClasses) -> Sums:
        return counted.add(partial(expected_sums, now, now.blocks))

    return climb(in_spark, begun, balance, min(steps, MOST_JOBS))


def _class_shares(found: Search, ratios: Floats) -> ClassShares:
    """What the votes say of the classes' shares. ratios: (m, k), as `likelihood_ratios` has them."""
    shares, blocks = found.best.fit.of_class(), found.best.encoded.blocks
    rare, unknown = int(shares.argmin()), np.full(len(shares), np.nan)
    voters = len(set(blocks.groups[ratios[:, rare] >= TELLS].tolist()))
    if voters < ENOUGH:
        doubt = f"{voters} independent rules speak for it, and {ENOUGH} are needed"
        return ClassShares(unknown, unknown, doubt)
    if not (np.delete(ratios, rare, axis=1) > 1).any():
        return ClassShares(unknown, unknown, "no rule speaks against it")
    low, high = share_limits(found)
    if high[rare] > WIDEST * low[rare]:
        return ClassShares(unknown, unknown, f"it may be {low[rare]:.1%} or {high[rare]:.1%} of the rows")
    return ClassShares(low, high, None)


def _doubt(best: Candidate, shares: Floats, ratios: Floats) -> str | None:
    rare = int(shares.argmin())
    if shares[rare] > RARE:
        return f"no class is rare: the rarer one would have {shares[rare]:.0%} of the rows"
    if best.meetings.index < FITS:
        return f"which votes meet is explained by {best.meetings.index:.0%} only"
    if best.is_ambiguous:
        return "a kind of rows is as near to one class as to the other"
    if not (ratios[:, rare] >= TELLS).any():
        return "no rule tells the rarer class from the other"
    return None


def _described(last: Fit, voters: tuple[str, ...]) -> list[str]:
    """A sentence for each block, and one on the components."""
    blocks = [block for block in last.scores.blocks.members if len(block) > 1]
    found = [
        f"{', '.join(voters[voter] for voter in block)} vote as copies of one another and count as one voter"
        for block in blocks
    ]
    of_class = np.bincount(last.scores.classes)
    if of_class.max() > 1:
        found.append(
            f"rules depend on one another: the classes have {', '.join(map(str, of_class))} kinds of rows"
        )
    return found
