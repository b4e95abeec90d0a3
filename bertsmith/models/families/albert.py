"""ALBERT (Lan et al., 2019; google-research/albert), as transformers' AlbertForPreTraining names its parts.

Its pair head is that of sentence order prediction: class 0 = in order, 1 = swapped.
"""

from bertsmith.models.config import EncoderConfig
from bertsmith.models.families.family import SETTINGS, TASK_NAMES, Family, NameTable

LAYER = "albert.encoder.albert_layer_groups.{group}.albert_layers.{inner}"

NAMES = NameTable(
    modules={
        "encoder.embeddings.words": ("albert.embeddings.word_embeddings",),
        "encoder.embeddings.positions": ("albert.embeddings.position_embeddings",),
        "encoder.embeddings.types": ("albert.embeddings.token_type_embeddings",),
        "encoder.embeddings.norm": ("albert.embeddings.LayerNorm",),
        "encoder.embeddings.mapping": ("albert.encoder.embedding_hidden_mapping_in",),
        "encoder.layers.{layer}.attention.qkv": (
            f"{LAYER}.attention.query",
            f"{LAYER}.attention.key",
            f"{LAYER}.attention.value",
        ),
        "encoder.layers.{layer}.attention.output": (f"{LAYER}.attention.dense",),
        "encoder.layers.{layer}.attention_norm": (f"{LAYER}.attention.LayerNorm",),
        "encoder.layers.{layer}.feed_forward.inner": (f"{LAYER}.ffn",),
        "encoder.layers.{layer}.feed_forward.output": (f"{LAYER}.ffn_output",),
        "encoder.layers.{layer}.feed_forward_norm": (f"{LAYER}.full_layer_layer_norm",),
        "encoder.pooler": ("albert.pooler",),
        "heads.masked_lm": ("predictions",),
        "heads.masked_lm.transform": ("predictions.dense",),
        "heads.masked_lm.norm": ("predictions.LayerNorm",),
        "heads.pair": ("sop_classifier.classifier",),
        **TASK_NAMES,
    },
    base_prefix="albert.",
    tied={
        "predictions.decoder.weight": "albert.embeddings.word_embeddings.weight",
        "predictions.decoder.bias": "predictions.bias",
    },
    ignored=frozenset({"albert.embeddings.position_ids", "albert.embeddings.token_type_ids"}),
)

ALBERT = Family(
    name="albert",
    model_types=("albert",),
    base=EncoderConfig(  # transformers' defaults are those of xxlarge
        family="albert",
        vocab_size=30000,
        embedding_size=128,
        embedding_mapping="always",
        hidden_size=4096,
        heads=64,
        intermediate_size=16384,
        sharing="all",
        dropout=0.0,
        attention_dropout=0.0,
        activation="gelu_tanh",
    ),
    has_pooler=True,
    names=NAMES,
    architectures={
        (): "AlbertModel",
        ("masked_lm",): "AlbertForMaskedLM",
        ("pair",): "AlbertForPreTraining",
        ("masked_lm", "pair"): "AlbertForPreTraining",
    },
    classes={"masked_lm": "AutoModelForMaskedLM", "pair": "AutoModelForPreTraining"},
    settings={
        **SETTINGS,
        "embedding_size": "embedding_size",
        "num_hidden_groups": "groups",
        "inner_group_num": "inner_groups",
    },
    activations={"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "relu": "relu"},
    fixed={"tie_word_embeddings": True, "position_embedding_type": "absolute"},
    own=frozenset({"sharing", "embedding_mapping"}),
    head_dropouts=("classifier_dropout_prob",),
)
