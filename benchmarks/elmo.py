"""ELMo with the head of GLUE's baseline, put together as published: for timing alone, its weights are random.

    ELMo (Peters et al., 2018)         93,600,864   characters 16 wide, 2,048 filters over 1 to 7 of them, two highway
                                                    layers, projection to 512; two layers of LSTMs in both directions,
                                                    4,096 units projected to 512, with a skip connection
    GLUE's BiLSTM (Wang et al., 2018)  84,336,000   two layers, 1,500 units in each direction, over a mixture of ELMo's
                                                    three layers; the maximum over the words
    the mixture                                 4   a share for each layer, and a scale
    GLUE's classifier                   6,145,025   [u; v; |u - v|; u * v], 512 wide, one number
    together                          184,081,893   180M in DistilBERT's paper

The first count is that of the published weights; torch's LSTM holds two biases where one would do, as GLUE's baseline,
which is made of it, does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHARACTERS, LONGEST_WORD, CHARACTER_WIDTH = 262, 50, 16
FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))  # characters, how many filters
UNITS, WIDTH, CLIP = 4096, 512, 3.0
HEAD_UNITS, HEAD_WIDTH = 1500, 512
ELMO_PARAMETERS, ELMO_WITH_HEAD = 93_600_864, 184_081_893


class CharacterWords(nn.Module):
    """Words as vectors: (words, characters) int64 -> (words, 512)."""

    def __init__(self) -> None:
        super().__init__()
        filters = sum(count for _, count in FILTERS)
        self.characters = nn.Embedding(CHARACTERS, CHARACTER_WIDTH)
        self.filters = nn.ModuleList(nn.Conv1d(CHARACTER_WIDTH, count, width) for width, count in FILTERS)
        self.highways = nn.ModuleList(nn.Linear(filters, 2 * filters) for _ in range(2))
        self.projection = nn.Linear(filters, WIDTH)

    def forward(self, words: Tensor) -> Tensor:
        """The strongest answer of each filter, through the highways, projected."""
        characters = self.characters(words).transpose(1, 2)
        states = torch.cat([convolve(characters).amax(2) for convolve in self.filters], 1).relu()
        for highway in self.highways:
            new, gate = highway(states).chunk(2, 1)
            gate = gate.sigmoid()
            states = gate * states + (1 - gate) * new.relu()
        return self.projection(states)


class ProjectedLSTM(nn.Module):
    """One direction of one layer: 4,096 cells whose output is projected to 512, both clipped. (words, 512) -> same."""

    def __init__(self) -> None:
        super().__init__()
        self.of_input = nn.Linear(WIDTH, 4 * UNITS, bias=False)
        self.of_state = nn.Linear(WIDTH, 4 * UNITS)
        self.projection = nn.Linear(UNITS, WIDTH, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """What the inputs give is one product for all words; what the state gives is one for each."""
        given = self.of_input(inputs)
        state, cell = inputs.new_zeros(WIDTH), inputs.new_zeros(UNITS)
        states = []
        for one in given:
            enter, forget, new, leave = (one + self.of_state(state)).chunk(4)
            cell = (enter.sigmoid() * new.tanh() + forget.sigmoid() * cell).clamp(-CLIP, CLIP)
            state = self.projection(leave.sigmoid() * cell.tanh()).clamp(-CLIP, CLIP)
            states.append(state)
        return torch.stack(states)


class Elmo(nn.Module):
    """(words, characters) -> three of (words, 1,024): the words themselves, then each layer of both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.words = CharacterWords()
        self.directions = nn.ModuleList(nn.ModuleList(ProjectedLSTM() for _ in range(2)) for _ in range(2))

    def forward(self, words: Tensor) -> list[Tensor]:
        """The backward direction reads the words from the last to the first."""
        embedded = self.words(words)
        forward = self._layers(embedded, 0)
        backward = [states.flip(0) for states in self._layers(embedded.flip(0), 1)]
        pairs = zip([embedded, *forward], [embedded, *backward], strict=True)
        return [torch.cat(pair, 1) for pair in pairs]

    def _layers(self, embedded: Tensor, direction: int) -> list[Tensor]:
        stack = self.directions[direction]
        assert isinstance(stack, nn.ModuleList)
        first = stack[0](embedded)
        return [first, stack[1](first) + first]


class ElmoPairs(nn.Module):
    """Two sentences, one after the other, to one number, as GLUE's baseline reads pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.elmo = Elmo()
        self.mixture = nn.Parameter(torch.ones(4))  # of the three layers, and the scale of all
        self.sentence = nn.LSTM(2 * WIDTH, HEAD_UNITS, num_layers=2, bidirectional=True)
        self.hidden = nn.Linear(4 * 2 * HEAD_UNITS, HEAD_WIDTH)
        self.output = nn.Linear(HEAD_WIDTH, 1)

    def forward(self, pair: Sequence[Tensor]) -> Tensor:
        """Each sentence (words, characters), with the marks of its beginning and end."""
        first, second = (self._encode(words) for words in pair)
        features = torch.cat([first, second, (first - second).abs(), first * second])
        return self.output(self.hidden(features).tanh())

    def _encode(self, words: Tensor) -> Tensor:
        shares = F.softmax(self.mixture[:3], 0)
        mixed = sum((share * states for share, states in zip(shares, self.elmo(words), strict=True)), torch.zeros(1))
        found, _ = self.sentence(self.mixture[3] * mixed[1:-1])
        return found.amax(0)
