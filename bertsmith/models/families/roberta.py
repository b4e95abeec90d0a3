"""RoBERTa (Liu et al., 2019; fairseq), as transformers' RobertaForMaskedLM names its parts; CamemBERT and XLM-R alike.

transformers has no class with a classifier of pairs: the one here is kept under a name of its own.
"""

from bertsmith.models.config import EncoderConfig
from bertsmith.models.families.family import Family, NameTable

LAYER = "roberta.encoder.layer.{layer}"

NAMES = NameTable(
    modules={
        "encoder.embeddings.words": ("roberta.embeddings.word_embeddings",),
        "encoder.embeddings.positions": ("roberta.embeddings.position_embeddings",),
        "encoder.embeddings.types": ("roberta.embeddings.token_type_embeddings",),
        "encoder.embeddings.norm": ("roberta.embeddings.LayerNorm",),
        "encoder.layers.{layer}.attention.qkv": (
            f"{LAYER}.attention.self.query",
            f"{LAYER}.attention.self.key",
            f"{LAYER}.attention.self.value",
        ),
        "encoder.layers.{layer}.attention.output": (f"{LAYER}.attention.output.dense",),
        "encoder.layers.{layer}.attention_norm": (f"{LAYER}.attention.output.LayerNorm",),
        "encoder.layers.{layer}.feed_forward.inner": (f"{LAYER}.intermediate.dense",),
        "encoder.layers.{layer}.feed_forward.output": (f"{LAYER}.output.dense",),
        "encoder.layers.{layer}.feed_forward_norm": (f"{LAYER}.output.LayerNorm",),
        "encoder.pooler": ("roberta.pooler.dense",),
        "heads.masked_lm": ("lm_head",),
        "heads.masked_lm.transform": ("lm_head.dense",),
        "heads.masked_lm.norm": ("lm_head.layer_norm",),
        "heads.pair": ("pair_classifier",),
    },
    base_prefix="roberta.",
    tied={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    ignored=frozenset({"roberta.embeddings.position_ids", "roberta.embeddings.token_type_ids"}),
    legacy={".LayerNorm.gamma": ".LayerNorm.weight", ".LayerNorm.beta": ".LayerNorm.bias"},
)

ROBERTA = Family(
    name="roberta",
    model_types=("roberta", "xlm-roberta", "camembert"),
    base=EncoderConfig(family="roberta", vocab_size=50265, position_offset=2, max_positions=510),
    has_pooler=True,
    names=NAMES,
    architectures={
        (): "RobertaModel",
        ("masked_lm",): "RobertaForMaskedLM",
        ("pair",): "RobertaModel",
        ("masked_lm", "pair"): "RobertaForMaskedLM",
    },
    classes={"masked_lm": "AutoModelForMaskedLM"},
    settings={
        "vocab_size": "vocab_size",
        "hidden_size": "hidden_size",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "intermediate_size": "intermediate_size",
        "max_position_embeddings": "max_positions",
        "type_vocab_size": "token_types",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
        "hidden_act": "activation",
        "layer_norm_eps": "layer_norm_eps",
        "initializer_range": "init_std",
    },
    activations={"gelu": "gelu"},  # their head uses no other, whatever config.json says
    fixed={
        "is_decoder": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
        "position_embedding_type": "absolute",
    },
    own=frozenset({"position_offset"}),
    positions_after_padding=True,
)
