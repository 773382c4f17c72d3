"""Embeddings learn who is who: by classes, or from people who are seen twice."""

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the convert extra")

from torch.nn import functional  # noqa: E402

from edge_fairmot.convert.training.identity import TEMPERATURE, ClassLoss, ContrastLoss  # noqa: E402


def unit(*rows):
    return functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


def test_a_class_starts_as_whom_it_is_first_seen_in():
    loss = ClassLoss(2, 5, imprint=True)
    chance = loss.classifier.weight.detach().clone()
    seen = unit((1, 0), (3, 4))

    loss(seen, torch.tensor([3, 1]))

    first = loss.classifier.weight.detach().clone()
    assert loss.met.tolist() == [False, True, False, True, False]
    assert torch.equal(first[~loss.met], chance[~loss.met])
    # The mean square of nn.Linear's numbers of chance is 1 / (3 * inputs).
    assert torch.allclose(first[[3, 1]], seen / math.sqrt(3))
    assert loss.classifier.bias[[1, 3]].tolist() == [0, 0]

    loss(-seen, torch.tensor([3, 1]))

    assert torch.equal(loss.classifier.weight, first)


def test_contrast_asks_who_of_all_others_a_person_is():
    embedding = unit((1, 0), (3, 4), (4, 3), (0, 1))

    found = ContrastLoss()(embedding, torch.tensor([7, 7, 2, 9]))

    rows = (embedding @ embedding.T / TEMPERATURE).tolist()
    expected = [math.log(1 + sum(math.exp(rows[i][n] - rows[i][1 - i]) for n in (2, 3))) for i in (0, 1)]
    assert found.item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_other_views_of_a_person_are_no_rivals():
    twice = ContrastLoss()(unit((1, 0), (1, 0), (0, 1)), torch.tensor([1, 1, 2]))
    thrice = ContrastLoss()(unit((1, 0), (1, 0), (1, 0), (0, 1)), torch.tensor([1, 1, 1, 2]))

    assert thrice.item() == pytest.approx(twice.item())


@pytest.mark.parametrize("identity", [[0, 1, 2], [4, 4, 4], [1]])
def test_without_two_of_one_and_one_of_another_there_is_nothing_to_learn(identity):
    embedding = unit(*((1, n) for n in range(len(identity)))).requires_grad_()

    found = ContrastLoss()(embedding, torch.tensor(identity))
    found.backward()

    assert found.item() == 0
    assert not embedding.grad.any()


def test_contrast_draws_views_together_and_others_apart():
    torch.manual_seed(0)
    vectors = torch.randn(6, 8, requires_grad=True)
    identity = torch.tensor([0, 1, 2, 0, 1, 2])
    optimizer = torch.optim.Adam([vectors], lr=0.1)

    for _ in range(60):
        optimizer.zero_grad()
        ContrastLoss()(functional.normalize(vectors, dim=1), identity).backward()
        optimizer.step()

    unit_vectors = functional.normalize(vectors.detach(), dim=1)
    cosine = unit_vectors @ unit_vectors.T
    same = identity[:, None] == identity
    assert cosine[same].min() > cosine[~same].max() + 0.5
