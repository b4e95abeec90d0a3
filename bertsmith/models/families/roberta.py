"""RoBERTa (Liu et al., 2019; fairseq), as transformers' RobertaForMaskedLM names its parts; CamemBERT and XLM-R alike.

transformers has no class with a classifier of pairs: the one here is kept under a name of its own.
"""

from bertsmith.models.config import EncoderConfig
from bertsmith.models.families.bert import FIXED, encoder_names
from bertsmith.models.families.family import SETTINGS, TASK_FORMS, TASK_NAMES, Family, HeadForm, NameTable

NAMES = NameTable(
    modules={
        **encoder_names("roberta"),
        "heads.masked_lm": ("lm_head",),
        "heads.masked_lm.transform": ("lm_head.dense",),
        "heads.masked_lm.norm": ("lm_head.layer_norm",),
        "heads.pair": ("pair_classifier",),
        **TASK_NAMES,
        "heads.sequence.dense": ("classifier.dense",),
        "heads.sequence.output": ("classifier.out_proj",),
    },
    base_prefix="roberta.",
    tied={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    ignored=frozenset({"roberta.embeddings.position_ids", "roberta.embeddings.token_type_ids"}),
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
    settings=SETTINGS,
    activations={"gelu": "gelu"},  # their head uses no other, whatever config.json says
    fixed=FIXED,
    own=frozenset({"position_offset"}),
    task_forms={**TASK_FORMS, "sequence": HeadForm("first", dense="tanh")},
    positions_after_padding=True,
)
