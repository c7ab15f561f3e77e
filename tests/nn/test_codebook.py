"""The codebook against the definitions of the paper, in float64."""

import copy

import pytest
import torch

from gyebo.nn.codebook import Codebook, perplexity

K, D = 7, 5


def same(tensor):
    """The sum over the only process."""
    return tensor


def vectors(count, seed=0):
    return torch.randn(count, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def made(decay=0.9, patience=None, count=K):
    """A codebook that has begun: its codes are vectors."""
    torch.manual_seed(0)
    book = Codebook(count, D, decay=decay, patience=patience).double()
    book.initialise()
    book(vectors(40))
    book.settle(same, first=True)
    return book


def chosen(codes, z):
    """The nearest code of each vector, one by one."""
    return torch.tensor([min(range(len(codes)), key=lambda k: float((codes[k] - one).pow(2).sum())) for one in z])


def test_each_vector_becomes_the_nearest_code():
    book, z = made(), vectors(300, 1)
    found = book(z)
    assert torch.equal(found.ids, chosen(book.codes, z)) and len(found.ids.unique()) == K
    assert torch.equal(found.codes, book.codes[found.ids])
    torch.testing.assert_close(found.passed, found.codes, rtol=0, atol=1e-15)


def test_what_is_in_memory_at_a_time_changes_nothing(monkeypatch):
    book, z = made(), vectors(300, 1)
    ids = book(z).ids
    monkeypatch.setattr("gyebo.nn.codebook.CHOICES", 3 * K)
    assert torch.equal(book(z).ids, ids)


@pytest.mark.parametrize("learned", [False, True])
def test_the_gradient_is_that_of_the_definition(learned):
    """L = f(e) + |sg(z) - e|^2 + beta |z - sg(e)|^2, with df/de copied to z: dL/dz = f'(e) + 2 beta (z - e), and dL/de is the
    sum of 2 (e - z) over the vectors that chose e, to which f adds nothing."""
    book, beta = made(decay=None if learned else 0.9), 0.25
    z, weight = vectors(30, 2).requires_grad_(), vectors(30, 3)
    found = book(z)
    loss = (weight * found.passed**3).sum() + beta * (z - found.codes.detach()).square().sum()
    if learned:
        loss = loss + (z.detach() - found.codes).square().sum()
    loss.backward()
    e, ids = book.codes.detach()[found.ids], found.ids
    torch.testing.assert_close(z.grad, 3 * weight * e**2 + 2 * beta * (z - e).detach(), rtol=1e-12, atol=1e-12)
    if learned:
        for k in range(K):
            torch.testing.assert_close(book.codes.grad[k], 2 * (e - z.detach())[ids == k].sum(0), rtol=1e-12, atol=1e-12)
    else:
        assert not found.codes.requires_grad and not list(book.parameters())


def test_codes_are_running_means_as_in_the_appendix_of_the_paper():
    """N <- g N + (1 - g) n; m <- g m + (1 - g) sum of z; e = m / N."""
    book, decay = made(decay=0.9), 0.9
    count, total = [[float(n) for n in book.usage], [e.clone() for e in book.sums]]
    for step in range(5):
        z = vectors(30, 10 + step)
        ids = chosen(book.codes, z)
        book(z[:11])
        book(z[11:])  # micro-batches
        book.settle(same, first=True)
        for k in range(K):
            mine = [one for one, id in zip(z, ids) if id == k]
            count[k] = decay * count[k] + (1 - decay) * len(mine)
            total[k] = decay * total[k] + (1 - decay) * sum(mine, torch.zeros(D, dtype=torch.float64))
            torch.testing.assert_close(book.codes[k], total[k] / count[k], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("decay", [None, 0.9])
def test_codes_begin_as_vectors_of_the_first_step(decay):
    book = made(decay=decay)
    first = {tuple(one.tolist()) for one in vectors(40)}
    codes = [tuple(one.tolist()) for one in book.codes.detach()]
    assert set(codes) <= first and len(set(codes)) == K


def test_with_fewer_vectors_than_codes_some_codes_are_alike():
    torch.manual_seed(0)
    book = Codebook(K, D, decay=0.9, patience=None).double()
    book(vectors(3))
    book.settle(same, first=True)
    assert len(book.codes.unique(dim=0)) == 3


@pytest.mark.parametrize("decay", [None, 0.9])
def test_a_code_that_nothing_chose_for_so_many_steps_becomes_a_vector(decay):
    book = made(decay=decay, patience=3)
    with torch.no_grad():
        book.codes[2] = 1e3
        if decay:
            book.sums[2] = 1e3 * book.usage[2]
    for step in range(3):
        assert book.idle[2] == step and float(book.codes[2].detach().min()) > 999
        z = vectors(30, 20 + step)
        book(z)
        book.settle(same, first=True)
    assert tuple(book.codes[2].tolist()) in {tuple(one.tolist()) for one in z}
    assert book.idle[2] == 0 and float(book.codes.detach().abs().max()) < 10


def test_without_patience_it_stays():
    book = made(patience=None)
    with torch.no_grad():
        book.codes[2], book.sums[2] = 1e3, 1e3 * book.usage[2]
    for step in range(9):
        book(vectors(30, 20 + step))
        book.settle(same, first=True)
    torch.testing.assert_close(book.codes[2], torch.full((D,), 1e3, dtype=torch.float64))
    assert book.idle[2] == 9


def test_two_processes_learn_as_one():
    whole, parts = made(), [made(), made()]
    z = vectors(30, 5)
    whole(z)
    whole.settle(same, first=True)
    for book, part in zip(parts, (z[:11], z[11:])):
        book(part)
    given = [[], []]
    for number, book in enumerate(parts):  # what each would add to the sums
        copy.deepcopy(book).settle(
            lambda tensor, number=number: given[number].append(tensor.clone()) or tensor, first=number == 0
        )
    for book in parts:
        sums = iter([a + b for a, b in zip(*given)])
        book.settle(lambda tensor, sums=sums: next(sums), first=book is parts[0])
        torch.testing.assert_close(book.codes, whole.codes, rtol=1e-12, atol=1e-12)
        assert torch.equal(book.idle, whole.idle)


def test_codes_that_start_anew_are_those_of_the_first_process():
    books = [Codebook(K, D, decay=0.9, patience=None).double() for _ in range(2)]
    given = [[], []]
    for number, book in enumerate(books):
        book.initialise()
        book(vectors(20, number))
        copy.deepcopy(book).settle(
            lambda tensor, number=number: given[number].append(tensor.clone()) or tensor, first=number == 0
        )
    for number, book in enumerate(books):
        sums = iter([a + b for a, b in zip(*given)])
        book.settle(lambda tensor, sums=sums: next(sums), first=number == 0)
    assert torch.equal(books[0].codes, books[1].codes)
    assert {tuple(e) for e in books[0].codes.tolist()} <= {tuple(z) for z in vectors(20, 0).tolist()}


def test_nothing_is_counted_outside_of_training():
    book = made()
    before = copy.deepcopy(book.state_dict())
    book.eval()(vectors(9))
    with torch.no_grad():
        book.train()(vectors(9))
    book.settle(same, first=True)
    assert all(torch.equal(value, before[name]) for name, value in book.state_dict().items())


def test_half_precision_chooses_in_single_precision():
    book = made().float().eval()
    z = vectors(50, 7).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(book(z).ids, book(z).ids) and book(z).passed.dtype == torch.float32
        assert torch.equal(book(z.bfloat16()).ids, chosen(book.codes, z.bfloat16().float()))


@pytest.mark.parametrize(("counts", "expected"), [([5, 5, 5, 5], 4.0), ([0, 9, 0], 1.0), ([2, 2, 0], 2.0), ([1, 2, 1], 2**1.5)])
def test_perplexity(counts, expected):
    assert perplexity(torch.tensor(counts)) == pytest.approx(expected, rel=1e-12)
