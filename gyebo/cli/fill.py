"""`gyebo fill`."""

from __future__ import annotations

import json as json_module
from typing import Annotated

from gyebo.cli import options as shared


def fill(
    model: shared.Model,
    text: Annotated[list[str], shared.word("Text with one or more masks; may be given several times.", "TEXT", "--text")],
    top_k: Annotated[int, shared.count("Number of candidates per mask (BART: of texts).")] = 5,
    device: shared.Device = "auto",
    json: shared.Json = False,
) -> None:
    """Predict the masked tokens of a text.

    Write the mask as in the model's tokenizer: [MASK] for BERT and DistilBERT,
    <mask> for RoBERTa and BART. BART writes the whole text: a mask may become
    several words or none.

    \b
    Examples:
      gyebo fill runs/bert --text "대한민국의 수도는 [MASK]이다."
      gyebo fill runs/bert --text "[MASK] 영화는 [MASK] 재미있다" --top-k 3 --json
    """
    from gyebo.api.fill import FilledText
    from gyebo.api.fill import fill as verb

    filled = verb(model, text, top_k=top_k, device=device)
    for found in [filled] if isinstance(filled, FilledText) else filled:
        if json:
            print(json_module.dumps(found.as_dict(), ensure_ascii=False))
            continue
        for answer in found.sequences:
            print(f"{answer['log_probability']:8.2f}  {answer['sequence']}")
        for number, candidates in enumerate(found.masks, 1):
            if len(found.masks) > 1:
                print(f"mask {number}")
            for candidate in candidates:
                print(f"{candidate['probability']:8.2%}  {candidate['sequence']}")
        if len(found.masks) > 1:
            print(f"all       {found.sequence}")
        print()
