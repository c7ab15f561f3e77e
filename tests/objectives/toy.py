"""An objective that gyebo does not have: the token some places ahead, reported as a share that is better when higher."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from gyebo.data.batches import IGNORE
from gyebo.evaluation.measures import Evaluation
from gyebo.objectives.causal import Causal, labelled
from gyebo.objectives.facts import Line, ObjectiveFacts, Samples


class Options(BaseModel):
    """How far ahead."""

    model_config = ConfigDict(extra="forbid")
    ahead: int = Field(2, gt=0)


@dataclass(frozen=True)
class Ahead(Causal):
    """Predicts the token `ahead` places later in its document."""

    ahead: int = 2

    def describe(self):
        return f"the token {self.ahead} places ahead"

    def for_evaluation(self):
        return replace(self, one_document=False)

    def corrupt(self, example, rng, draw):
        fields = super().corrupt(example, rng, draw)
        labels = np.full_like(fields["labels"], IGNORE)
        labels[: max(0, len(labels) + 1 - self.ahead)] = fields["labels"][self.ahead - 1 :]
        return fields | {"labels": labels}


def build(options, setting):
    ids = setting.tokenizer.role_ids
    return Ahead(ids.get("bos"), ids.get("eos"), setting.across_documents, ahead=options.ahead)


@torch.no_grad()
def evaluate(model, rows, *, tokens=None, autocast=None):
    """ahead_share and tokens, of all rows."""
    count = len(rows.plan)
    batch = {name: torch.from_numpy(values) for name, values in rows.batch(np.arange(count), [[0]] * count).items()}
    hidden = model.encode(batch["input_ids"], document_ids=batch["document_ids"]).hidden
    found, *_, labels = labelled(model, hidden, batch["labels"], "lm")
    right = (model.project(found).argmax(-1) == labels).float()
    parts = np.stack([right.numpy(), np.ones(len(labels))], axis=1)
    return Evaluation(metrics={"ahead_share": float(right.mean()), "tokens": len(labels)}, parts=parts)


def shown(model, tokenizer, rows, count):
    return [f"guess {number}" for number in range(count)]


FACTS = ObjectiveFacts(
    name="ahead",
    module="tests.objectives.toy",
    learns="to foresee a word",
    metric="ahead_share",
    unit="share of tokens foreseen",
    lower_is_better=False,
    evaluate="tests.objectives.toy:evaluate",
    card_metrics=("ahead_share",),
    samples=Samples(function="tests.objectives.toy:shown", heading="What they foresee", meaning="A guess each."),
    next_command="embed {out} ...",
    meaning="How many tokens were foreseen.",
    lines=(Line(heading="Tokens counted", meaning="How many.", metric="tokens", form="{:,.0f}"),),
    tries=(("Embed with {name}", ("embed", "{model}", "texts.txt")),),
)
