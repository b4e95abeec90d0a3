"""The explicit table of encoder families. A new family is one file here and one line below; all data, no torch."""

from bertsmith.models.families.albert import ALBERT
from bertsmith.models.families.bert import BERT
from bertsmith.models.families.distilbert import DISTILBERT
from bertsmith.models.families.family import Family
from bertsmith.models.families.roberta import ROBERTA

FAMILIES: dict[str, Family] = {family.name: family for family in (BERT, ALBERT, ROBERTA, DISTILBERT)}
