"""The explicit table of encoder families. A new family is one file here and one line below; all data, no torch."""

from bertsmith.models.families.bert import BERT
from bertsmith.models.families.family import Family

FAMILIES: dict[str, Family] = {family.name: family for family in (BERT,)}
