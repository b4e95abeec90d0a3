"""What a step of training holds in memory and computes, known from the plan alone: nothing is allocated."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bertsmith.batch import Batch, flat_batch
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.models.config import EncoderConfig
from bertsmith.models.encoder import Encoder
from bertsmith.models.model import count_parameters, skeleton
from bertsmith.objectives.vocabulary_loss import BLOCK
from bertsmith.training.device import DTYPES
from bertsmith.training.plan import PretrainingPlan

# Measured on real runs of bert-tiny to bert-small and albert-mini (benchmarks/planning.py): steps of unequal sequences
# free and claim pieces of ever other sizes, and freed memory is kept.
KEPT_FREE = 0.65  # of what a step claims and frees, that lies idle between pieces
LIBRARIES = 60e6  # bytes: kernels and buffers that the libraries make, validation and checkpoints
SPECIAL_TOKENS = 3  # of a sequence: [CLS] and two [SEP]


def predictions(masking: MaskingConfig, cut: CutConfig) -> float:
    """Tokens that a full sequence predicts, on average."""
    maskable = cut.length - SPECIAL_TOKENS
    if masking.budget == "stochastic":
        return masking.rate * maskable
    wanted = max(1, round(masking.rate * cut.length))
    return float(min(wanted, masking.max_predictions or wanted, maskable))


def micro_batch_of(plan: PretrainingPlan) -> int:
    """Sequences of the largest forward pass of one process."""
    batch = plan.training.batch_size
    return min(plan.training.micro_batch, batch) if plan.training.micro_batch else batch


def memory_of(
    plan: PretrainingPlan, precision: str, fill: float = 1.0, teacher: EncoderConfig | None = None
) -> dict[str, int]:
    """Bytes that training holds above the bare process when most is held: {part: bytes, ..., total}.

    fill: tokens of a sequence ÷ cut.length. teacher: the encoder of a distillation's teacher.
    weights: fp32 masters, copies in bf16, and the weights of before step 1, whose memory is kept; and the teacher's.
    gradients, moments: fp32.
    activations: what the encoder keeps of a micro-batch for the way back, added up on tensors without storage.
    working: what one layer's way back, the vocabulary's scores or a layer of the teacher need beside it, the largest.
    reserve: what the allocator keeps free and the libraries need.
    """
    config = plan.model.resolved()
    width = DTYPES[precision].itemsize
    parameters = _total(config, plan.heads)
    tokens = max(1, round(micro_batch_of(plan) * plan.cut.length * fill))
    parts = {
        "weights": parameters * (8 if precision == "fp32" else 8 + width),
        "gradients": 4 * parameters,
        "moments": 8 * parameters,
        "activations": _activations(plan, tokens, precision),
        "working": max(_vocabulary_bytes(plan, fill, width, teacher), _layer_bytes(plan, tokens, width)),
    }
    if teacher is not None:
        parts["weights"] += _total(teacher, ("masked_lm",)) * width
        parts["working"] = max(parts["working"], tokens * width * _feed_forward_row(teacher))
    parts["reserve"] = round(LIBRARIES + KEPT_FREE * (parts["activations"] + parts["working"]))
    return {**parts, "total": sum(parts.values())}


def _total(config: EncoderConfig, heads: tuple[str, ...]) -> int:
    total = count_parameters(config, heads)["total"]
    assert isinstance(total, int)
    return total


def _activations(plan: PretrainingPlan, tokens: int, precision: str) -> int:
    """Bytes that autograd keeps of one forward pass of the encoder, each storage once.

    Dropout on a CPU keeps nothing, but what it makes of the attention weights is kept beside them.
    """
    config = replace(plan.model.resolved(), dropout=0.0, attention_dropout=0.0)
    with torch.device("meta"):
        encoder = Encoder(config, pooler="pair" in plan.heads).to(DTYPES[precision]).train()
    encoder.activation_checkpointing = plan.training.activation_checkpointing
    owned = {parameter.untyped_storage()._cdata for parameter in encoder.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in owned:
            kept.setdefault(storage, tensor)  # held, so that its address is not given away again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        encoder(_shapes(plan.cut, tokens))
    dropped = bool(plan.model.attention_dropout) and not plan.training.activation_checkpointing
    weights = config.layers * config.inner_groups * config.heads * tokens * plan.cut.length * DTYPES[precision].itemsize
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) + dropped * weights


def _shapes(cut: CutConfig, tokens: int) -> Batch:
    """A batch of as many full sequences as there are tokens for, and one shorter; only its lengths are stored."""
    full, rest = divmod(tokens, cut.length)
    lengths = torch.tensor([cut.length] * full + ([rest] if rest else []))
    ids = torch.zeros(tokens, dtype=torch.int64)
    return flat_batch(ids, ids, lengths).to(torch.device("meta"))


def _vocabulary_bytes(plan: PretrainingPlan, fill: float, width: int, teacher: EncoderConfig | None) -> int:
    """Gradients of a block's scores, and those of the word embedding: one per block, their sum, and its scaled copy."""
    if "masked_lm" not in plan.heads:
        return 0
    config = plan.model.resolved()
    predicted = predictions(plan.masking, plan.cut)
    if teacher is not None:
        predicted = max(predicted, _compared_words(plan))
    rows = max(1, round(micro_batch_of(plan) * predicted * fill))
    blocks = -(-rows // BLOCK)
    matrix = config.vocab_size * config.embedding_size
    scores = min(rows, BLOCK) * config.vocab_size * width
    forward = scores + matrix * (blocks * width + (4 + width if blocks > 1 else 0))
    backward = matrix * 3 * width  # the scaled copy, the gradient of the lookup, and the sum of both
    return max(forward, backward)


def _layer_bytes(plan: PretrainingPlan, tokens: int, width: int) -> int:
    """What the way back through one layer makes before it can let go of what was kept."""
    config = plan.model.resolved()
    attention = 2 * config.heads * plan.cut.length + 3 * config.hidden_size
    matrix = config.vocab_size * config.embedding_size * width  # the scaled gradient of the vocabulary waits meanwhile
    return tokens * width * max(attention, _feed_forward_row(config)) + matrix


def _feed_forward_row(config: EncoderConfig) -> int:
    """Numbers that a token has in a feed-forward block."""
    config = config.resolved()
    return 2 * config.intermediate_size + 2 * config.hidden_size


def operations_of(plan: PretrainingPlan, teacher: EncoderConfig | None = None) -> dict[str, float]:
    """Floating-point operations per token of a full sequence, forward and backward: {part: operations, ..., total}.

    A product of a (1, m) row and an (m, n) matrix is 2mn operations, the way back twice as many. Only masked positions
    meet the vocabulary, unless a teacher's distribution is learnt. Sharing weights saves none of them. teacher: the
    encoder of a distillation's teacher, which every step asks; where both meet the vocabulary is counted as that.
    """
    length = plan.cut.length
    passes = 4 if plan.training.activation_checkpointing else 3
    model = _operations_of_pass(plan.model, length)
    parts = {
        "attention": passes * model["attention"],
        "feed_forward": passes * model["feed_forward"],
        "embedding_mapping": 3 * model["embedding_mapping"],
        "vocabulary": 0.0,
        "pair": 0.0,
        "teacher": 0.0,
    }
    if "masked_lm" in plan.objectives.use:
        parts["vocabulary"] = 3 * model["word"] * predictions(plan.masking, plan.cut) / length
    if "pair" in plan.objectives.use:
        width = plan.model.resolved().hidden_size
        parts["pair"] = 3 * 2 * (width**2 + 2 * width) / length
    if teacher is not None and plan.objectives.distillation.compares:
        words = _compared_words(plan) / length
        asked = _operations_of_pass(teacher, length)
        parts["vocabulary"] += (3 * model["word"] + asked["word"]) * words
        parts["teacher"] = asked["attention"] + asked["feed_forward"] + asked["embedding_mapping"]
    return {**parts, "total": sum(parts.values())}


def _operations_of_pass(config: EncoderConfig, length: int) -> dict[str, float]:
    """Of one token on its way forward, by part; word: where it meets the vocabulary."""
    config = config.resolved()
    width, layers = config.hidden_size, config.layers * config.inner_groups
    return {
        "attention": layers * (2 * 4 * width**2 + 4 * length * width),
        "feed_forward": layers * 4 * width * config.intermediate_size,
        "embedding_mapping": 2 * config.embedding_size * width if config.has_mapping else 0,
        "word": 2 * config.embedding_size * (width + config.vocab_size),
    }


def _compared_words(plan: PretrainingPlan) -> float:
    """Tokens of a full sequence at which a student's distribution over the vocabulary is compared to its teacher's."""
    config = plan.objectives.distillation
    if not config.kl:
        return 0.0
    return predictions(plan.masking, plan.cut) if config.positions == "masked" else float(plan.cut.length)


def parameters_of(config: EncoderConfig, heads: tuple[str, ...]) -> dict[str, object]:
    """{encoder, total, parts} as `inspect` counts them, the formulas of the large parts, and what is saved.

    formulas: part -> how its number comes about. saved_by_factorisation, saved_by_sharing: how many more there would
    be with embeddings as wide as the encoder, and with weights of its own for every layer.
    """
    config = config.resolved()
    counted = count_parameters(config, heads)
    return {
        **counted,
        "formulas": _formulas(config),
        "saved_by_factorisation": _embedding_weights(config, config.hidden_size) - _embedding_weights(config),
        "saved_by_sharing": _unshared(config, heads) - _total(config, heads),
    }


def _embedding_weights(config: EncoderConfig, width: int = 0) -> int:
    """Word embedding and mapping: V x H where the widths are one, else V x E + E x H."""
    width = width or config.embedding_size
    mapping = width * config.hidden_size if config.has_mapping and width == config.embedding_size else 0
    return config.vocab_size * width + mapping


def _unshared(config: EncoderConfig, heads: tuple[str, ...]) -> int:
    model = skeleton(config, heads)
    return sum(parameter.numel() for _, parameter in model.named_parameters(remove_duplicate=False))


def _formulas(config: EncoderConfig) -> dict[str, str]:
    vocab, narrow, wide = config.vocab_size, config.embedding_size, config.hidden_size
    inner, layers = config.intermediate_size, config.layers * config.inner_groups
    owners = {part: len({config.owner_of(part, number) for number in range(layers)}) for part in ("attention", "ffn")}
    formulas = {"word_embeddings": f"V x E = {vocab:,} x {narrow:,} = {vocab * narrow:,}"}
    if config.has_mapping:
        formulas["embedding_mapping"] = f"E x H + H = {narrow:,} x {wide:,} + {wide:,} = {narrow * wide + wide:,}"
        whole, parts = vocab * wide, vocab * narrow + narrow * wide
        formulas["word_embeddings"] += f"; V x E + E x H = {parts:,} against V x H = {whole:,}"
    else:
        formulas["word_embeddings"] = f"V x H = {vocab:,} x {wide:,} = {vocab * wide:,}"
    for part, one, formula in (
        ("attention", 4 * wide**2 + 4 * wide, "4 H² + 4 H"),
        ("ffn", 2 * wide * inner + inner + wide, "2 H I + I + H"),
    ):
        own = owners[part]
        shared = f", shared by {layers} layers" if own < layers else ""
        name = "feed_forward" if part == "ffn" else part
        formulas[name] = f"{own} x ({formula}) = {own} x {one:,} = {own * one:,}{shared}"
    return formulas
