"""AU-vMAE eqs. 2 to 8 against loops written from the paper, and on labels worked by hand."""

import itertools
import math

import numpy as np
import pytest
import torch

from aubench.methods._modules.au_pair_statistics import (
    class_weights,
    co_occurrence,
    distance,
    pair_targets,
    thresholded,
    transitions,
)

LABELS = torch.tensor([[1, 0, 1], [1, 1, 0], [0, 0, 0], [1, 1, 0]])
"""Four frames of three AUs, for working by hand."""


def random_labels(*lengths, aus=4, unknown=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(-1 if unknown else 0, 2, (n, aus), generator=generator) for n in lengths]


def naive_weights(sequences):
    """eq. (2)"""
    frames = [frame for labels in sequences for frame in labels.tolist()]
    count = len(frames[0])
    inverse = []
    for i in range(count):
        known = [frame[i] for frame in frames if frame[i] >= 0]
        inverse.append(1 / (sum(known) / len(known)))
    return [count * x / sum(inverse) for x in inverse]


def naive_intra(frames):
    """eq. (3), from counts of the states 11, 10 and 01 of each pair; -1 where there are none."""
    count = len(frames[0])
    matrix = -np.ones((count, count))
    for i, j in itertools.product(range(count), repeat=2):
        states = [(frame[i], frame[j]) for frame in frames if frame[i] >= 0 and frame[j] >= 0]
        either = states.count((1, 1)) + states.count((1, 0)) + states.count((0, 1))
        if either:
            matrix[i, j] = states.count((1, 1)) / either
    return matrix


def naive_transition(now, after, s):
    """eqs. (6) and (7) of one pair: D_k keeps x where bit k of s is 1 and takes 1 - x where it is 0."""
    bits = [int(b) for b in reversed(f"{s:04b}")]
    factors = [x if bit else 1 - x for x, bit in zip((*now, *after), bits, strict=True)]
    return math.prod(factors)


def naive_inter(sequences):
    """The mean of eq. (7) over all frames in which the pair is known and known in the next."""
    count = sequences[0].shape[1]
    matrix = -np.ones((count, count, 16))
    for i, j in itertools.permutations(range(count), 2):
        pairs = [
            ((labels[t, i].item(), labels[t, j].item()), (labels[t + 1, i].item(), labels[t + 1, j].item()))
            for labels in sequences
            for t in range(len(labels) - 1)
        ]
        pairs = [(now, after) for now, after in pairs if min(*now, *after) >= 0]
        if pairs:
            matrix[i, j] = [np.mean([naive_transition(*pair, s) for pair in pairs]) for s in range(16)]
    return matrix


def test_eq_2_agrees_with_loops():
    sequences = random_labels(30, 9)
    np.testing.assert_allclose(class_weights(sequences), naive_weights(sequences), rtol=1e-6)


def test_eq_2_by_hand():
    """Rates 3/4, 1/2 and 1/4: inverses 4/3, 2 and 4, whose sum is 22/3."""
    torch.testing.assert_close(class_weights([LABELS]), torch.tensor([4 / 3, 2.0, 4.0]) * 3 / (22 / 3))


def test_an_au_that_is_never_there_weighs_one_and_leaves_the_others_a_mean_of_one():
    labels = torch.cat([LABELS, torch.zeros(4, 1, dtype=torch.long)], 1)
    torch.testing.assert_close(class_weights([labels]), torch.tensor([6 / 11, 9 / 11, 18 / 11, 1.0]))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64])
def test_eqs_3_6_and_7_of_labels_agree_with_loops(dtype):
    sequences = random_labels(150, 2, 41)
    actual = pair_targets([x.to(dtype) for x in sequences])
    np.testing.assert_allclose(actual.intra, naive_intra([f for x in sequences for f in x.tolist()]), atol=1e-6)
    np.testing.assert_allclose(actual.inter, naive_inter(sequences), atol=1e-6)


def test_eq_3_by_hand():
    """AU pair 0, 1 is 10, 11, 00, 11; pair 0, 2 is 11, 10, 00, 10; pair 1, 2 is 01, 10, 00, 10."""
    expected = torch.tensor([[1, 2 / 3, 1 / 3], [2 / 3, 1, 0], [1 / 3, 0, 1]])
    torch.testing.assert_close(pair_targets([LABELS]).intra, expected)


def test_eqs_6_and_7_by_hand():
    """Pair 0, 1 goes 10 to 11 to 00 to 11: bits (i, j, i', j') from the lowest, 1011, 1100, 0011."""
    inter = pair_targets([LABELS]).inter
    expected = torch.zeros(16)
    expected[[1 + 4 + 8, 1 + 2, 4 + 8]] = 1 / 3
    torch.testing.assert_close(inter[0, 1], expected)
    assert (inter[[0, 1, 2], [0, 1, 2]] == -1).all()


@pytest.mark.parametrize("s", range(16))
def test_a_hard_label_is_one_hot_at_its_state(s):
    bits = torch.tensor([s & 1, s >> 1 & 1, s >> 2 & 1, s >> 3 & 1], dtype=torch.float32)
    actual = transitions(bits[None, :2], bits[None, 2:])[0, 1]
    assert actual.tolist() == [float(state == s) for state in range(16)]


def test_the_states_of_probabilities_sum_to_one_and_agree_with_loops():
    p = torch.rand(7, 5, dtype=torch.float64)
    actual = transitions(p[:-1], p[1:])
    np.testing.assert_allclose(actual, naive_inter([p]), atol=1e-12)
    pairs = ~torch.eye(5, dtype=torch.bool)
    torch.testing.assert_close(actual.sum(-1)[pairs], torch.ones(20, dtype=torch.float64))


def test_knowledge_is_the_mean_of_the_states_of_single_steps():
    labels = random_labels(40, unknown=False)[0].double()
    steps = [transitions(labels[t : t + 1], labels[t + 1 : t + 2]) for t in range(39)]
    torch.testing.assert_close(pair_targets([labels]).inter, torch.stack(steps).mean(0).float())


def test_no_step_leads_from_one_sequence_into_the_next():
    first, second = random_labels(2, 2, unknown=False)
    apart = (pair_targets([first]).inter + pair_targets([second]).inter) / 2
    torch.testing.assert_close(pair_targets([first, second]).inter, apart)


def test_the_printed_eq_6_exchanges_states_in_both_and_keeps_the_distance():
    labels, p = random_labels(20, unknown=False)[0].double(), torch.rand(20, 4, dtype=torch.float64)
    known, learned = pair_targets([labels]).inter, transitions(p[:-1], p[1:])
    as_printed = transitions(1 - p[:-1], 1 - p[1:])
    torch.testing.assert_close(as_printed, learned.flip(-1))
    opposite = pair_targets([1 - labels]).inter
    torch.testing.assert_close(distance(known, learned, "frobenius"), distance(opposite, as_printed, "frobenius"))


def test_eq_4_agrees_with_loops():
    p = torch.rand(25, 4)
    hard = [[int(x > 0.5) for x in frame] for frame in p.tolist()]
    np.testing.assert_allclose(co_occurrence(p), naive_intra(hard), rtol=1e-6)


def test_gradients_pass_the_threshold():
    p = torch.tensor([0.2, 0.5, 0.7], requires_grad=True)
    actual = thresholded(p)
    assert actual.tolist() == [0, 0, 1]
    (actual * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert p.grad.tolist() == [1, 2, 3]


def test_gradients_of_eq_4_are_those_of_a_quotient_at_the_threshold():
    p = torch.rand(9, 3, dtype=torch.float64, requires_grad=True)
    loss = (co_occurrence(p) * torch.arange(9.0).reshape(3, 3)).sum()
    (actual,) = torch.autograd.grad(loss, p)
    hard = (p > 0.5).double().detach().requires_grad_()
    absent = 1 - hard
    relaxed = (hard.T @ hard) / (9 - absent.T @ absent)
    (expected,) = torch.autograd.grad((relaxed * torch.arange(9.0).reshape(3, 3)).sum(), hard)
    torch.testing.assert_close(actual, expected)
    assert actual.any()


def test_unknown_states_count_nowhere_and_have_no_gradient():
    p = torch.rand(12, 3, dtype=torch.float64, requires_grad=True)
    known = torch.rand(12, 3) > 0.3
    masked = torch.where(known, p, -1)
    hard = torch.where(known, p > 0.5, -1).tolist()
    np.testing.assert_allclose(co_occurrence(masked).detach(), naive_intra(hard))
    np.testing.assert_allclose(transitions(masked[:-1], masked[1:]).detach(), naive_inter([masked]))
    total = co_occurrence(masked).sum() + transitions(masked[:-1], masked[1:]).square().sum()
    (slopes,) = torch.autograd.grad(total, p)
    assert not slopes[~known].any()


def test_eqs_5_and_8_agree_with_loops_and_leave_out_what_is_undefined():
    generator = torch.Generator().manual_seed(4)
    expected, learned = torch.rand(2, 5, 5, 16, generator=generator, dtype=torch.float64)
    expected[0, 1], learned[2, 3], learned[4, 4, :] = -1, -1, -1
    squares = [
        (expected[at].item() - learned[at].item()) ** 2
        for at in np.ndindex(5, 5, 16)
        if expected[at] >= 0 and learned[at] >= 0
    ]
    assert len(squares) == 22 * 16
    assert distance(expected, learned, "frobenius").item() == pytest.approx(math.sqrt(sum(squares)))
    assert distance(expected, learned, "mean").item() == pytest.approx(math.sqrt(np.mean(squares)))


def test_a_batch_without_any_positive_has_no_distance_and_no_harmful_gradient():
    p = torch.full((6, 3), 0.2, requires_grad=True)
    far = distance(pair_targets([LABELS]).intra, co_occurrence(p), "frobenius")
    far.backward()
    assert far.item() == 0
    assert not p.grad.any()
    none = torch.full((0, 3), 0.2)
    assert distance(torch.ones(3, 3, 16), transitions(none, none), "mean").item() == 0


def test_predictions_that_agree_with_the_knowledge_have_a_finite_gradient():
    p = torch.tensor([[1.0, 0.0], [1.0, 1.0]], requires_grad=True)
    known = pair_targets([p.detach()])
    far = distance(known.intra, co_occurrence(p), "frobenius") + distance(
        known.inter, transitions(p[:-1], p[1:]), "frobenius"
    )
    far.backward()
    assert far.item() == 0
    assert torch.isfinite(p.grad).all()
