"""Character n-grams of texts as features of a head: what the linear baseline reads, hashed into buckets.

A short budget teaches a network little about rare words, which letters alone tell. So a head may have a linear layer on the
texts' n-grams beside the body (wide and deep: Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems"), learned with
the rest. Features as in `gyebo/tasks/linear.py`: sublinear term frequency x inverse document frequency of the character n-grams
of the text in NFC and lower case, scaled to length 1; of a pair x, y, x * y and |x - y| side by side. An n-gram has the number
of its hash (Weinberger et al. 2009), so there is no vocabulary to store; two that share a bucket are one.

Letters: N texts, G different n-grams of a text, H buckets, C columns (H, or 4H for pairs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.data.streams import BatchField, Stream
from gyebo.tasks.features import Features, Ragged
from gyebo.tasks.linear import strings
from gyebo.tasks.task import Example

FIELD = "text_ngrams"  # in `config.json`
NGRAMS = Stream("ngrams", "ngram_mask", counted=False)
FIELDS = (BatchField("ngram_ids", NGRAMS, 0), BatchField("ngram_weights", NGRAMS, 0.0, "float32"))
SHORTEST, LONGEST = 1, 4
LEAST_BUCKETS, MOST_BUCKETS = 1 << 8, 1 << 26


@dataclass(frozen=True)
class Ngrams:
    """Which n-grams are read: of `shortest` to `longest` characters, hashed into `buckets`; of two texts, if `paired`."""

    buckets: int
    paired: bool
    shortest: int = SHORTEST
    longest: int = LONGEST

    @property
    def columns(self) -> int:
        """Number of features."""
        return 4 * self.buckets if self.paired else self.buckets

    def as_dict(self) -> dict[str, Any]:
        """As in `config.json`."""
        return asdict(self)

    def counts(self, texts: list[str]) -> Any:
        """How often each n-gram occurs in each text: a sparse matrix [N, H]."""
        from sklearn.feature_extraction.text import HashingVectorizer

        ngrams = (self.shortest, self.longest)
        hashing = HashingVectorizer(
            analyzer="char", ngram_range=ngrams, n_features=self.buckets, alternate_sign=False, norm=None, dtype=np.float32
        )
        return hashing.transform(texts)


@dataclass(frozen=True)
class NgramReading:
    """How texts become features: `ngrams`, and the inverse document frequency of each bucket, `idf` [H]."""

    ngrams: Ngrams
    idf: NDArray[np.float32]

    @classmethod
    def of(cls, ngrams: Ngrams, examples: Sequence[Example]) -> NgramReading:
        """With the frequencies of training examples."""
        first, second = strings(examples, ngrams.paired)
        found = _transformer().fit(ngrams.counts(first + second)).idf_
        return cls(ngrams, np.ascontiguousarray(found, np.float32))

    def read(self, features: Features, examples: Sequence[Example]) -> Features:
        """Features of one row for each example with the n-grams of its texts: G numbers of columns and their weights."""
        rows = self.rows(examples)
        columns = {"ngram_ids": rows.indices.astype(np.int32), "ngram_weights": rows.data.astype(np.float32)}
        added = {name: Ragged(values, rows.indptr.astype(np.int64)) for name, values in columns.items()}
        return replace(features, columns=features.columns | added, fields=(*features.fields, *FIELDS))

    def rows(self, examples: Sequence[Example]) -> Any:
        """A sparse matrix [N, C]."""
        from scipy.sparse import hstack

        first, second = strings(examples, self.ngrams.paired)
        x = self._weighted(first)
        if not self.ngrams.paired:
            return x
        y = self._weighted(second)
        return hstack([x, y, x.multiply(y), abs(x - y)], format="csr", dtype=np.float32)

    def _weighted(self, texts: list[str]) -> Any:
        transformer = _transformer()
        transformer.idf_ = self.idf
        return transformer.transform(self.ngrams.counts(texts))


def _transformer() -> Any:
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer(sublinear_tf=True)


def read(given: Mapping[str, Any], where: str) -> Ngrams | None:
    """What `config.json` says of n-grams; ValueError naming `where` for what can't be."""
    found = given.get(FIELD)
    if found is None:
        return None
    numbers = [found.get(name) for name in ("buckets", "shortest", "longest")] if isinstance(found, dict) else []
    whole = len(numbers) == 3 and all(type(number) is int for number in numbers)
    if not whole or found.keys() != {"buckets", "paired", "shortest", "longest"} or type(found["paired"]) is not bool:
        raise ValueError(f"{where}: {FIELD} must have buckets, paired, shortest and longest, but is {str(found)[:80]} instead")
    if not LEAST_BUCKETS <= found["buckets"] <= MOST_BUCKETS or not 1 <= found["shortest"] <= found["longest"] <= 16:
        raise ValueError(
            f"{where}: {FIELD} must have {LEAST_BUCKETS} to {MOST_BUCKETS:,} buckets and n-grams of 1 to 16 characters, but is "
            f"{str(found)[:80]} instead"
        )
    return Ngrams(**found)
