"""Question answering: the answer is a span of a context, or none. Windows with labels; answers from start and end scores.

As in SQuAD 2.0 (Devlin et al. 2018, section 4.3) and KLUE-MRC: a row is the question and a window of the context; a new window
starts every STRIDE tokens; the label of a window without the whole answer is a null position; the score of a span is its
start score + its end score; the answer is empty if the null score (the lowest of all windows) exceeds that of the best span by
more than a threshold. A span starts in the window where its first token has most context, so no span counts twice.

The null position is `cls`; in a family without it the special token that ends the row; in a family without either (GPT) an
`eos` added as the last token, where a causal model has read question and context.

Answers are substrings of the original context: from the first character of the first token to the last character of the last
one, without surrounding spaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gyebo.nn.outputs import SpansOutput
from gyebo.tasks.data.files import Spans, question_rows
from gyebo.tasks.features import Features, features_of, ragged
from gyebo.tasks.heads.styles import EVERY, EVERY_TOKEN, STYLES, HeadSpec
from gyebo.tasks.kinds.classification import rows_of
from gyebo.tasks.kinds.kind import Encoding, HeadForm, Kind, OwnFile, TextForm, in_columns
from gyebo.tasks.kinds.own_columns import column_task
from gyebo.tasks.task import Example
from gyebo.tasks.text_task import TextTask
from gyebo.text.template import null_position, template_of, window_of_token, windows, with_null_token
from gyebo.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 128  # tokens from one window of a long context to the next, as in KLUE
QUESTION = 64  # maximum tokens of a question, as in SQuAD and KLUE
LONGEST = 30  # maximum tokens of an answer
UNANSWERABLE = "unanswerable"  # what is written where the context has no answer
BEST = 20  # number of starts and ends tried in a window, and of answers kept


@dataclass(frozen=True)
class Answer:
    """Characters [start, end) of the context, as `text`, and the score of the span (logits of start + end)."""

    start: int
    end: int
    text: str
    score: float


def encode(examples: Sequence[Example], tokenizer: Tokenizer, encoding: Encoding) -> Features:
    """Contexts (`text`) and questions (`pair`) as rows, with "start_positions" and "end_positions" [rows] of the first answer.

    Without `answers` the label is the null position. `Features.too_long` counts truncated questions: to 64 tokens, or to half
    of the room of a row if that is less. A window of a long context starts every STRIDE tokens. Raises ValueError for an
    example without a question, an answer that is not at its place in the context, or where `max_length` leaves no room for the
    context.
    """
    max_length = encoding.max_length
    template = with_null_token(template_of(tokenizer, 2), tokenizer)
    template.room(max_length, least=2)
    contexts = tokenizer.encode_batch([example.text for example in examples])
    questions = tokenizer.encode_batch([_question(example) for example in examples])
    rows, numbers, nulls, labels, firsts, lasts = [], [], [], [], [], []
    too_long = 0
    for number, (example, context, question) in enumerate(zip(examples, contexts, questions)):
        limit = min(QUESTION, template.room(max_length) // 2)
        too_long += len(question) > limit
        question = question[:limit]
        offsets = np.array(tokenizer.offsets(example.text), np.int64).reshape(-1, 2)
        answer = _tokens_of(example, offsets)
        room = template.room(max_length) - len(question)
        cuts = windows(len(context), room, STRIDE)
        window_of = window_of_token(cuts)
        for window, (start, end) in enumerate(cuts):
            row = template.apply(question, context[start:end])
            null = null_position(template, len(row.ids))
            shift = row.starts[1] - start
            whole = answer is not None and start <= answer[0] and answer[1] < end
            labels.append((answer[0] + shift, answer[1] + shift) if whole and answer is not None else (null, null))
            first, last = np.zeros((2, len(row.ids)), np.int64)
            first[row.starts[1] :][: end - start] = offsets[start:end, 0]
            last[row.starts[1] :][: end - start] = offsets[start:end, 1]
            # The sign of `last` says whether a span may start here: the token has most context in this window.
            last[row.starts[1] :][: end - start][window_of[start:end] != window] *= -1
            rows.append(row)
            numbers.append(number)
            nulls.append(null)
            firsts.append(first)
            lasts.append(last)
    features = features_of(examples, tokenizer, rows, example=numbers, too_long=too_long)
    positions = np.array(labels, np.int64).reshape(-1, 2)
    features.fixed.update(start_positions=positions[:, 0], end_positions=positions[:, 1])
    features.notes.update(null=np.array(nulls, np.int64), first=ragged(firsts), last=ragged(lasts))
    return features


def _question(example: Example) -> str:
    if example.pair is None:
        raise ValueError(f"example {example.id}: no question; give the question as pair and the context as text")
    return example.pair


def _tokens_of(example: Example, offsets: NDArray[np.int64]) -> tuple[int, int] | None:
    """The first and last token of the first answer, or None without one."""
    if not example.answers:
        return None
    start, text = example.answers[0]
    end = start + len(text)
    if start < 0 or not text.strip() or example.text[start:end] != text:
        raise ValueError(f"example {example.id}: the answer {text!r} is not at character {start} of the context")
    start += len(text) - len(text.lstrip())
    end -= len(text) - len(text.rstrip())
    touched = np.flatnonzero((offsets[:, 0] < end) & (offsets[:, 1] > start))
    return (int(touched[0]), int(touched[-1])) if len(touched) else None


def n_best(
    features: Features, starts: Sequence[NDArray[Any]], ends: Sequence[NDArray[Any]], examples: Sequence[Example],
    *, longest: int = LONGEST, best: int = BEST,
) -> tuple[list[list[Answer]], list[float]]:  # fmt: skip
    """The best spans of every example over all its windows, the best first, and its null score.

    starts, ends: the scores of each row of the features, in order, [T] each. longest: maximum tokens of an answer. best: number
    of starts and ends of a window that are combined, and of spans kept per example.
    """
    if len(starts) != len(features) or len(ends) != len(features):
        raise ValueError(f"scores: {len(starts)} starts and {len(ends)} ends given for {len(features)} rows; give one for each")
    found: list[dict[tuple[int, int], float]] = [{} for _ in examples]
    null = [float("inf")] * len(examples)
    for row in range(len(features)):
        number, place = int(features.example[row]), int(features.notes["null"][row])
        null[number] = min(null[number], float(starts[row][place]) + float(ends[row][place]))
        for first, last, score in _spans(features, row, starts[row], ends[row], longest, best):
            span = _stripped(examples[number].text, first, last)
            if span[0] < span[1]:
                found[number][span] = max(score, found[number].get(span, -np.inf))
    answers = []
    for example, spans in zip(examples, found):
        ranked = sorted(spans.items(), key=lambda item: (-item[1], item[0]))[:best]
        answers.append([Answer(start, end, example.text[start:end], score) for (start, end), score in ranked])
    return answers, null


def _spans(
    features: Features, row: int, start: NDArray[Any], end: NDArray[Any], longest: int, best: int
) -> list[tuple[int, int, float]]:
    """(first character, end character, score) of a window's spans, at most `best`."""
    first, last = features.notes["first"][row], features.notes["last"][row]
    opening, closing = np.flatnonzero(last > 0), np.flatnonzero(last != 0)
    opening = opening[np.argsort(-start[opening], kind="stable")[:best]]
    closing = closing[np.argsort(-end[closing], kind="stable")[:best]]
    size = closing[None, :] - opening[:, None] + 1
    sums = start[opening][:, None].astype(np.float64) + end[closing][None, :]
    scores = np.where((size >= 1) & (size <= longest), sums, -np.inf)
    order = np.argsort(-scores, axis=None, kind="stable")[:best]
    pairs = [np.unravel_index(flat, scores.shape) for flat in order.tolist()]
    return [
        (int(first[opening[i]]), int(abs(last[closing[j]])), float(scores[i, j])) for i, j in pairs if np.isfinite(scores[i, j])
    ]


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without spaces at either end."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def loss(output: SpansOutput, batch: dict[str, Tensor]) -> Tensor:
    """Mean of the cross-entropies of start and end, summed over the rows; padding is masked."""
    import torch
    import torch.nn.functional as F

    scores = torch.stack([output.start_logits, output.end_logits], -1).float()
    scores = scores.masked_fill(batch["document_ids"][..., None] == 0, torch.finfo(torch.float32).min)
    places = torch.stack([batch["start_positions"], batch["end_positions"]], 1)
    return F.cross_entropy(scores, places, reduction="sum") / 2


def decode(
    features: Features, examples: Sequence[Example], outputs: Sequence[Sequence[NDArray[Any]]], labels: Sequence[str] = (),
    *, threshold: float = 0.0, longest: int = LONGEST,
) -> list[str]:  # fmt: skip
    """The answer to every example, from the start and end scores of each row [T]; "" if the null score exceeds that of the best
    span by more than `threshold`."""
    starts, ends = outputs
    answers, null = n_best(features, starts, ends, examples, longest=longest)
    return [spans[0].text if spans and score - spans[0].score <= threshold else "" for spans, score in zip(answers, null)]


def no_answers(examples: Sequence[Example]) -> str | None:
    """The reason why examples without any answer cannot be used for training."""
    if any(example.answers for example in examples):
        return None
    return f"none of {len(examples):,} questions has an answer in its context"


def target(example: Example, task: TextTask) -> str | None:
    """The first answer as text; None in a question whose answer is not known can't be told from one without an answer."""
    return example.answers[0][1].strip() if example.answers else UNANSWERABLE


def answer(text: str, example: Example, task: TextTask) -> str:
    """The answer that was written; "" where it says that there is none."""
    return "" if text.strip() == UNANSWERABLE else text.strip()


_ENDS = HeadSpec(EVERY, dropout_between=False)

KIND = Kind(
    name="spans",
    pipeline_tag="question-answering",
    head=HeadForm(
        transformers_class="QuestionAnswering",
        specs=dict.fromkeys(STYLES, _ENDS) | {"pre-classifier": EVERY_TOKEN, "mix": EVERY_TOKEN},
        outputs=2,
        encode=encode,
        output=lambda found, **more: SpansOutput(found[..., 0], found[..., 1], **more),
        places="input_ids",
        count=rows_of,
        answers=("start_positions", "end_positions"),
        loss=loss,
        decode=decode,
    ),
    text=TextForm(
        source=in_columns(lambda example: {"text": example.text, "pair": _question(example)}),
        target=target,
        answer=answer,
        columns=(("pair", "question"), ("text", "context")),
        cut="end",
    ),
    own_files=(
        OwnFile(
            name="spans",
            task=column_task(
                "spans",
                text="context",
                pair="question",
                label="answers",
                metrics=("answer_f1", "exact_match"),
                max_length=384,
                rows=question_rows,
                prefix="",  # "question: ... context: ..." says what it is
                convert=lambda text, pair, label: Spans(text, pair or "", label),
            ),
        ),
    ),
    answered=lambda example: bool(example.answers),
    nothing_to_learn=no_answers,
)
