"""The same function as transformers' BERT on the same weights, in both directions, gradients included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from bertsmith.batch import Batch
from bertsmith.models.folder import load_model, save_model, to_huggingface
from bertsmith.models.model import Model
from bertsmith.objectives.table import OBJECTIVES
from tests.parity.comparing import assert_equal, flat, padded
from tests.tiny_models import TINY, gradient, random_batch, tiny_model

LENGTHS = [(6, 6, 6), (3, 17, 24, 1, 9)]


def their_config(**changes: object) -> transformers.BertConfig:
    sizes = {
        "vocab_size": TINY.vocab_size,
        "hidden_size": TINY.hidden_size,
        "num_hidden_layers": TINY.layers,
        "num_attention_heads": TINY.heads,
        "intermediate_size": TINY.intermediate_size,
        "max_position_embeddings": TINY.max_positions,
    }
    return transformers.BertConfig(**{**sizes, **changes})


def their_model(kind: type, **changes: object):
    """A random model of theirs with biases and norms that matter."""
    torch.manual_seed(1)
    model = kind(their_config(**changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def assert_pretraining_outputs_equal(ours: Model, theirs, batch: Batch) -> None:
    encoded = ours(batch)
    outputs = theirs(**padded(batch))
    logits = ours.masked_lm(encoded.hidden_states)
    assert_equal(logits, flat(outputs.prediction_logits, batch))
    assert_equal(ours.pair(encoded.pooled), outputs.seq_relationship_logits)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_their_pretraining_model_read_by_us(tmp_path: Path, lengths: tuple[int, ...], activation: str) -> None:
    theirs = their_model(transformers.BertForPreTraining, hidden_act=activation, layer_norm_eps=1e-5)
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    assert ours.trained_heads == ("masked_lm", "pair")
    assert_pretraining_outputs_equal(ours, theirs, random_batch(lengths))


@pytest.mark.parametrize("lengths", LENGTHS)
def test_our_pretraining_model_read_by_them(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    ours = tiny_model().eval()
    save_model(ours, tmp_path, pad_token_id=0)
    theirs, info = transformers.AutoModelForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert isinstance(theirs, transformers.BertForPreTraining)
    assert_pretraining_outputs_equal(ours, theirs.eval(), random_batch(lengths))


@pytest.mark.parametrize("lengths", LENGTHS)
def test_masked_lm_and_base_classes(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    batch = random_batch(lengths)
    masked = their_model(transformers.BertForMaskedLM)
    masked.save_pretrained(tmp_path / "masked")
    ours = load_model(tmp_path / "masked")
    assert ours.trained_heads == ("masked_lm",)
    logits = ours.masked_lm(ours(batch).hidden_states)
    assert_equal(logits, flat(masked(**padded(batch)).logits, batch))

    base = their_model(transformers.BertModel)
    base.save_pretrained(tmp_path / "base")
    ours = load_model(tmp_path / "base")
    assert ours.trained_heads == ()
    encoded, outputs = ours(batch), base(**padded(batch))
    assert_equal(encoded.hidden_states, flat(outputs.last_hidden_state, batch))
    assert_equal(encoded.pooled, outputs.pooler_output)


@pytest.mark.parametrize(
    ("heads", "kind", "classes"),
    [
        (("masked_lm", "pair"), "BertForPreTraining", ["MaskedLM", "NextSentencePrediction", "", "PreTraining"]),
        (("masked_lm",), "BertForMaskedLM", ["MaskedLM"]),
        (("pair",), "BertForNextSentencePrediction", ["NextSentencePrediction", ""]),
    ],
)
def test_saved_folders_miss_nothing(tmp_path: Path, heads: tuple[str, ...], kind: str, classes: list[str]) -> None:
    save_model(tiny_model(heads), tmp_path, pad_token_id=3)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    assert (config.architectures, config.model_type, config.pad_token_id) == ([kind], "bert", 3)
    for name in classes:
        automatic = getattr(transformers, f"AutoModelFor{name}" if name else "AutoModel")
        model, info = automatic.from_pretrained(tmp_path, output_loading_info=True)
        assert not info["missing_keys"] and not info["mismatched_keys"] and not info["error_msgs"], name
        assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_same_loss_and_gradients() -> None:
    ours = tiny_model().eval()
    theirs = transformers.BertForPreTraining(their_config()).eval()
    missing = theirs.load_state_dict(to_huggingface(ours), strict=False)
    assert set(missing.missing_keys) == {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    assert not missing.unexpected_keys
    theirs.tie_weights()
    batch = random_batch((3, 17, 24, 1, 9))
    encoded = ours(batch)
    scores = [objective.score(ours, encoded, batch) for objective in OBJECTIVES.values()]
    loss = torch.stack([score.loss / score.count for score in scores]).sum()
    loss.backward()

    labels = torch.full_like(batch.token_ids, -100)
    labels[batch.targets["masked_lm"].rows] = batch.targets["masked_lm"].labels
    labels = torch.nn.utils.rnn.pad_sequence(list(labels.split(batch.lengths.tolist())), True, -100)
    pairs = batch.targets["pair"].labels
    outputs = theirs(**padded(batch), labels=labels, next_sentence_label=pairs)
    assert_equal(loss, outputs.loss)
    outputs.loss.backward()

    for ours_name, parameter in ours.named_parameters():
        names = ours.family.names.translate(ours_name, ours.config)
        expected = torch.cat([gradient(theirs.get_parameter(name)) for name in names])
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-5, msg=ours_name)


def test_name_table_is_a_bijection_onto_their_names() -> None:
    ours, theirs = tiny_model(), transformers.BertForPreTraining(their_config())
    names = [name for name, _ in ours.named_parameters()]
    translated = [theirs for name in names for theirs in ours.family.names.translate(name, ours.config)]
    assert len(translated) == len(set(translated))
    assert set(translated) == {name for name, _ in theirs.named_parameters()}
