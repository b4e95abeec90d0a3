"""The blockwise loss against torch's cross-entropy on whole logits."""

import pytest
import torch
import torch.nn.functional as F

from bertsmith.objectives import vocabulary_loss as module
from bertsmith.objectives.vocabulary_loss import vocabulary_loss


def _inputs(rows: int, vocabulary: int = 37, width: int = 8):
    generator = torch.Generator().manual_seed(rows)
    features, weight, bias = (
        torch.randn(*shape, generator=generator).requires_grad_()
        for shape in ((rows, width), (vocabulary, width), (vocabulary,))
    )
    return features, weight, bias, torch.randint(0, vocabulary, (rows,), generator=generator)


@pytest.mark.parametrize("rows", [1, 5, 64, 65, 200])
def test_equals_torch_over_blocks_and_slices(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 70)
    features, weight, bias, labels = _inputs(rows)
    result = vocabulary_loss(features, weight, bias, labels)
    ours = torch.autograd.grad(result.loss / 3, (features, weight, bias))
    logits = F.linear(features, weight, bias)
    loss = F.cross_entropy(logits, labels, reduction="sum")
    theirs = torch.autograd.grad(loss / 3, (features, weight, bias))
    torch.testing.assert_close(result.loss, loss)
    assert int(result.correct) == int((logits.argmax(1) == labels).sum())
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)


def test_no_rows_give_zero_loss_and_zero_gradients() -> None:
    features, weight, bias, labels = _inputs(0)
    result = vocabulary_loss(features, weight, bias, labels)
    assert result.loss.item() == 0
    assert all(float(g.abs().sum()) == 0 for g in torch.autograd.grad(result.loss, (weight, bias)))


def test_loss_stays_finite_where_the_probability_underflows() -> None:
    features, weight = torch.tensor([[300.0], [1.0]]), torch.tensor([[1.0], [0.0]])
    bias, labels = torch.zeros(2), torch.tensor([1, 0])
    expected = F.cross_entropy(F.linear(features, weight, bias), labels, reduction="sum")
    torch.testing.assert_close(vocabulary_loss(features, weight, bias, labels).loss, expected)


def test_a_tie_is_not_correct() -> None:
    features, weight, bias = torch.ones(1, 1), torch.ones(3, 1), torch.zeros(3)
    assert int(vocabulary_loss(features, weight, bias, torch.tensor([0])).correct) == 0


def test_bf16_loss_is_that_of_the_rounded_logits() -> None:
    features, weight, bias, labels = _inputs(20)
    low = [t.detach().bfloat16() for t in (features, weight, bias)]
    expected = F.cross_entropy(torch.addmm(low[2], low[0], low[1].t()).float(), labels, reduction="sum")
    found = vocabulary_loss(low[0], low[1], low[2], labels).loss
    torch.testing.assert_close(found, expected, atol=0.002 * len(labels), rtol=0)


def test_rows_beyond_the_labels_count_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 70)
    features, weight, bias, labels = _inputs(90)
    whole = vocabulary_loss(features[:75], weight, bias, labels[:75])
    filled = vocabulary_loss(features, weight, bias, labels[:75])
    torch.testing.assert_close(filled.loss, whole.loss)
    assert filled.correct == whole.correct
    theirs = torch.autograd.grad(whole.loss, (features, weight, bias))
    for mine, other in zip(torch.autograd.grad(filled.loss, (features, weight, bias)), theirs, strict=True):
        torch.testing.assert_close(mine, other)
