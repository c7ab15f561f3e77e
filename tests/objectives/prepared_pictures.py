"""A small corpus of the world's pictures, prepared, for the objectives that learn from them."""

from gyebo.config.run import DataOptions
from gyebo.data.prepare import open_corpus, prepare

SIZE = 16


def prepared(tokenizer, name="world:pictures,80", **options):
    given = {"valid_share": 0.3, "picture_size": SIZE, "crop_size": 4, **options}
    return prepare(open_corpus(DataOptions(corpus=[name], **given)), tokenizer)
