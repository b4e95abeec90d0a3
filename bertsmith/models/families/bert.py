"""BERT (Devlin et al., 2018; google-research/bert), as transformers' BertForPreTraining names its parts."""

from bertsmith.models.config import EncoderConfig
from bertsmith.models.families.family import Family, NameTable

NAMES = NameTable(
    modules={
        "encoder.embeddings.words": ("bert.embeddings.word_embeddings",),
        "encoder.embeddings.positions": ("bert.embeddings.position_embeddings",),
        "encoder.embeddings.types": ("bert.embeddings.token_type_embeddings",),
        "encoder.embeddings.norm": ("bert.embeddings.LayerNorm",),
        "encoder.layers.{layer}.attention.qkv": (
            "bert.encoder.layer.{layer}.attention.self.query",
            "bert.encoder.layer.{layer}.attention.self.key",
            "bert.encoder.layer.{layer}.attention.self.value",
        ),
        "encoder.layers.{layer}.attention.output": ("bert.encoder.layer.{layer}.attention.output.dense",),
        "encoder.layers.{layer}.attention_norm": ("bert.encoder.layer.{layer}.attention.output.LayerNorm",),
        "encoder.layers.{layer}.feed_forward.inner": ("bert.encoder.layer.{layer}.intermediate.dense",),
        "encoder.layers.{layer}.feed_forward.output": ("bert.encoder.layer.{layer}.output.dense",),
        "encoder.layers.{layer}.feed_forward_norm": ("bert.encoder.layer.{layer}.output.LayerNorm",),
        "encoder.pooler": ("bert.pooler.dense",),
        "heads.masked_lm": ("cls.predictions",),
        "heads.masked_lm.transform": ("cls.predictions.transform.dense",),
        "heads.masked_lm.norm": ("cls.predictions.transform.LayerNorm",),
        "heads.pair": ("cls.seq_relationship",),
    },
    base_prefix="bert.",
    tied={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    ignored=frozenset({"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}),
    legacy={".LayerNorm.gamma": ".LayerNorm.weight", ".LayerNorm.beta": ".LayerNorm.bias"},
)

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
    activations={"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"},
    fixed={
        "is_decoder": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
        "position_embedding_type": "absolute",
    },
)
