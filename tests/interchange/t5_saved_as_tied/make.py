"""How the files beside this were made: transformers 5.23 saves a T5 1.1 with an output layer of its own as tied.

python tests/interchange/t5_saved_as_tied/make.py
"""

from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

if __name__ == "__main__":
    assert transformers.__version__.startswith("5.23"), transformers.__version__
    torch.manual_seed(0)
    shape = {"vocab_size": 29, "d_model": 8, "d_kv": 3, "d_ff": 10, "num_layers": 1, "num_decoder_layers": 2, "num_heads": 2}
    config = transformers.T5Config(**shape, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    model = transformers.T5ForConditionalGeneration(config).eval()
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    here = Path(__file__).parent
    model.save_pretrained(here)
    (here / "generation_config.json").unlink()
    ids, target = torch.randint(1, 29, (2, 9)), torch.randint(1, 29, (2, 5))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=target).logits
    found = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": target, "logits": logits}
    save_file(found, here / "expected.safetensors")
