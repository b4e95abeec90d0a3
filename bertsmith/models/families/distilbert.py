"""DistilBERT (Sanh et al., 2019), as transformers' DistilBertForMaskedLM names its parts: no types, no pooler."""

from bertsmith.models.config import EncoderConfig
from bertsmith.models.families.family import ACTIVATIONS, TASK_FORMS, TASK_NAMES, Family, HeadForm, NameTable

LAYER = "distilbert.transformer.layer.{layer}"

NAMES = NameTable(
    modules={
        "encoder.embeddings.words": ("distilbert.embeddings.word_embeddings",),
        "encoder.embeddings.positions": ("distilbert.embeddings.position_embeddings",),
        "encoder.embeddings.norm": ("distilbert.embeddings.LayerNorm",),
        "encoder.layers.{layer}.attention.qkv": (
            f"{LAYER}.attention.q_lin",
            f"{LAYER}.attention.k_lin",
            f"{LAYER}.attention.v_lin",
        ),
        "encoder.layers.{layer}.attention.output": (f"{LAYER}.attention.out_lin",),
        "encoder.layers.{layer}.attention_norm": (f"{LAYER}.sa_layer_norm",),
        "encoder.layers.{layer}.feed_forward.inner": (f"{LAYER}.ffn.lin1",),
        "encoder.layers.{layer}.feed_forward.output": (f"{LAYER}.ffn.lin2",),
        "encoder.layers.{layer}.feed_forward_norm": (f"{LAYER}.output_layer_norm",),
        "heads.masked_lm": ("vocab_projector",),
        "heads.masked_lm.transform": ("vocab_transform",),
        "heads.masked_lm.norm": ("vocab_layer_norm",),
        **TASK_NAMES,
        "heads.sequence.dense": ("pre_classifier",),
        "heads.choice.dense": ("pre_classifier",),
    },
    base_prefix="distilbert.",
    tied={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"},
    ignored=frozenset({"distilbert.embeddings.position_ids"}),
)

FIRST_TOKEN = HeadForm("first", drops_input=False, dense="relu")

DISTILBERT = Family(
    name="distilbert",
    model_types=("distilbert",),
    base=EncoderConfig(family="distilbert", layers=6, token_types=0),
    has_pooler=False,
    names=NAMES,
    architectures={(): "DistilBertModel", ("masked_lm",): "DistilBertForMaskedLM"},
    classes={"masked_lm": "AutoModelForMaskedLM"},
    settings={
        "vocab_size": "vocab_size",
        "dim": "hidden_size",
        "n_layers": "layers",
        "n_heads": "heads",
        "hidden_dim": "intermediate_size",
        "max_position_embeddings": "max_positions",
        "dropout": "dropout",
        "attention_dropout": "attention_dropout",
        "activation": "activation",
        "initializer_range": "init_std",
    },
    activations=ACTIVATIONS,
    fixed={"tie_word_embeddings": True, "tie_weights_": True},
    task_forms={**TASK_FORMS, "sequence": FIRST_TOKEN, "choice": FIRST_TOKEN, "span": HeadForm("tokens")},
    head_dropouts=("qa_dropout", "seq_classif_dropout"),
)
