"""BERT (Devlin et al., 2018; google-research/bert), as transformers' BertForPreTraining names its parts."""

from bertsmith.models.config import EncoderConfig
from bertsmith.models.families.family import ACTIVATIONS, SETTINGS, TASK_NAMES, Family, NameTable


def encoder_names(prefix: str) -> dict[str, tuple[str, ...]]:
    """Names of the encoder's modules, which RoBERTa keeps under its own prefix."""
    layer = f"{prefix}.encoder.layer.{{layer}}"
    return {
        "encoder.embeddings.words": (f"{prefix}.embeddings.word_embeddings",),
        "encoder.embeddings.positions": (f"{prefix}.embeddings.position_embeddings",),
        "encoder.embeddings.types": (f"{prefix}.embeddings.token_type_embeddings",),
        "encoder.embeddings.norm": (f"{prefix}.embeddings.LayerNorm",),
        "encoder.layers.{layer}.attention.qkv": (
            f"{layer}.attention.self.query",
            f"{layer}.attention.self.key",
            f"{layer}.attention.self.value",
        ),
        "encoder.layers.{layer}.attention.output": (f"{layer}.attention.output.dense",),
        "encoder.layers.{layer}.attention_norm": (f"{layer}.attention.output.LayerNorm",),
        "encoder.layers.{layer}.feed_forward.inner": (f"{layer}.intermediate.dense",),
        "encoder.layers.{layer}.feed_forward.output": (f"{layer}.output.dense",),
        "encoder.layers.{layer}.feed_forward_norm": (f"{layer}.output.LayerNorm",),
        "encoder.pooler": (f"{prefix}.pooler.dense",),
    }


NAMES = NameTable(
    modules={
        **encoder_names("bert"),
        "heads.masked_lm": ("cls.predictions",),
        "heads.masked_lm.transform": ("cls.predictions.transform.dense",),
        "heads.masked_lm.norm": ("cls.predictions.transform.LayerNorm",),
        "heads.pair": ("cls.seq_relationship",),
        **TASK_NAMES,
    },
    base_prefix="bert.",
    tied={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    ignored=frozenset({"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}),
)

FIXED = {
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
    "position_embedding_type": "absolute",
}

BERT = Family(
    name="bert",
    model_types=("bert",),
    base=EncoderConfig(family="bert"),
    has_pooler=True,
    names=NAMES,
    architectures={
        (): "BertModel",
        ("masked_lm",): "BertForMaskedLM",
        ("pair",): "BertForNextSentencePrediction",
        ("masked_lm", "pair"): "BertForPreTraining",
    },
    classes={"masked_lm": "AutoModelForMaskedLM", "pair": "AutoModelForNextSentencePrediction"},
    settings=SETTINGS,
    activations=ACTIVATIONS,
    fixed=FIXED,
)
