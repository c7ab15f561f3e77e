"""The built-in world: a small generated corpus in Korean and English whose entropy is known exactly.

`documents` generates plain text with its log-probability, `log_probability` computes that of any text; the other functions
generate labelled data from the same facts. Deterministic by seed, free of any licence, standard library only.
"""

from __future__ import annotations

from gyebo.world.conversations import Conversation, conversations
from gyebo.world.corpus import Document, documents, log_probability
from gyebo.world.summaries import Summary, summaries
from gyebo.world.tasks import (
    ENTAILMENT_LABELS,
    ENTITY_TYPES,
    SENTIMENT_LABELS,
    Dialogue,
    Entailment,
    Entities,
    NextSentence,
    Question,
    Sentiment,
    Similarity,
    Translation,
    dialogues,
    entailments,
    entities,
    next_sentences,
    questions,
    sentiments,
    similarities,
    translations,
)

__all__ = [
    "ENTAILMENT_LABELS",
    "ENTITY_TYPES",
    "SENTIMENT_LABELS",
    "Conversation",
    "Dialogue",
    "Document",
    "Entailment",
    "Entities",
    "NextSentence",
    "Question",
    "Sentiment",
    "Similarity",
    "Summary",
    "Translation",
    "conversations",
    "dialogues",
    "documents",
    "entailments",
    "entities",
    "log_probability",
    "next_sentences",
    "questions",
    "sentiments",
    "similarities",
    "summaries",
    "translations",
]
