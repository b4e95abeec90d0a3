"""The explicit table of objectives. A new one is one file beside this and one line here and in config.ObjectiveName."""

from bertsmith.objectives.masked_lm import MaskedLM
from bertsmith.objectives.objective import Objective
from bertsmith.objectives.pair import Pair

OBJECTIVES: dict[str, Objective] = {objective.name: objective for objective in (MaskedLM(), Pair())}
