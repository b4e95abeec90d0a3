"""Byte-pair encoding over counted words: which neighbouring pieces to join, the most frequent pair first.

Source: Sennrich et al. 2016 (arXiv 1508.07909), on WordPiece's pieces ("a" begins a word, "##a" continues one). Our own
because the trainers of the `tokenizers` library give WordPiece other ids on every run (huggingface/tokenizers 1794).
Here every tie is broken by the pieces themselves, so equal counts give equal merges.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from bertsmith import interrupt
from bertsmith.tokenizers.wordpiece import CONTINUATION, without_prefix

_BITS = 24  # a pair of symbols is one number: left << _BITS | right
_RIGHT = (1 << _BITS) - 1


class MergeLearner:
    """Words as chains of symbols, and where each pair of neighbours occurs.

    A symbol is a number into `tokens`. Position p holds `symbols[p]` (-1: joined to the one before it); `after` and
    `before` are the neighbouring positions within the word (-1: none); `weights[p]` is the count of its word.
    """

    def __init__(
        self, alphabet: Iterable[str], words: Iterable[tuple[str, int]], continuation: str = CONTINUATION
    ) -> None:
        """`alphabet`: the single pieces in an order of the caller's. A word with another character is left out.

        continuation: what pieces within words begin with; "" for byte-level BPE, which tells them apart by no sign.
        """
        self._continuation = continuation
        self.joined: list[tuple[str, str]] = []  # left and right token of every join, in order
        self.tokens = list(alphabet)
        self._numbers = {token: number for number, token in enumerate(self.tokens)}
        self.symbols: list[int] = []
        self.after: list[int] = []
        self.before: list[int] = []
        self.weights: list[int] = []
        self.counts: dict[int, int] = defaultdict(int)
        self.places: dict[int, list[int]] = defaultdict(list)
        for word, count in words:
            self._add(word, count)
        self._heap = [(-count, pair) for pair, count in self.counts.items()]
        heapify(self._heap)

    def _add(self, word: str, count: int) -> None:
        if len(word) < 2:
            return
        numbers = self._numbers
        chain = [numbers.get(word[0], -1), *(numbers.get(self._continuation + c, -1) for c in word[1:])]
        if -1 in chain:
            return
        first = len(self.symbols)
        last = first + len(chain) - 1
        self.symbols += chain
        self.weights += [count] * len(chain)
        self.before += [-1, *range(first, last)]
        self.after += [*range(first + 1, last + 1), -1]
        for place, left in enumerate(chain[:-1]):
            pair = left << _BITS | chain[place + 1]
            self.counts[pair] += count
            self.places[pair].append(first + place)

    def learn(self, most: int, least_count: int) -> dict[str, int]:
        """At most `most` new tokens in the order they are learned, with the counts of the pairs they were made from.

        Pairs that occur fewer than `least_count` times are left alone.
        """
        learned: dict[str, int] = {}
        while len(learned) < most:
            pair = self._most_frequent(least_count)
            if pair is None:
                break
            count = self.counts[pair]
            learned.setdefault(self._join(pair), count)
            if len(learned) % 256 == 0:
                interrupt.check()
        return learned

    def _most_frequent(self, least_count: int) -> int | None:
        """The pair with the highest count, of equal ones the first by its symbols."""
        while self._heap:
            negative, pair = heappop(self._heap)
            count = self.counts.get(pair, 0)
            if count == -negative:
                return pair if count >= least_count else None
            if 0 < count < -negative:  # it lost occurrences since it was put here
                heappush(self._heap, (-count, pair))
        return None

    def _join(self, pair: int) -> str:
        """Replace every occurrence of a pair by one symbol; returns its token."""
        left, right = pair >> _BITS, pair & _RIGHT
        # "abc" may arise as ab + c and as a + bc: one token.
        within = self.tokens[right]
        token = self.tokens[left] + (without_prefix(within) if self._continuation else within)
        self.joined.append((self.tokens[left], within))
        joined = self._numbers.setdefault(token, len(self.tokens))
        if joined == len(self.tokens):
            self.tokens.append(token)
        symbols, after, before, counts, places = self.symbols, self.after, self.before, self.counts, self.places
        grown: set[int] = set()
        for place in places.pop(pair):
            following = after[place]
            if symbols[place] != left or following < 0 or symbols[following] != right:
                continue  # changed by an earlier join
            weight = self.weights[place]
            preceding, next_place = before[place], after[following]
            if preceding >= 0:
                neighbour = symbols[preceding] << _BITS
                counts[neighbour | left] -= weight
                counts[neighbour | joined] += weight
                places[neighbour | joined].append(preceding)
                grown.add(neighbour | joined)
            if next_place >= 0:
                counts[right << _BITS | symbols[next_place]] -= weight
                neighbour = joined << _BITS | symbols[next_place]
                counts[neighbour] += weight
                places[neighbour].append(place)
                grown.add(neighbour)
                before[next_place] = place
            symbols[place], symbols[following], after[place] = joined, -1, next_place
        counts.pop(pair, None)
        for neighbour in grown:
            if counts.get(neighbour, 0) > 0:
                heappush(self._heap, (-counts[neighbour], neighbour))
        return token
