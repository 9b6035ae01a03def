"""Generate text with a model folder that Farthing wrote, by transformers alone; prints one JSON object.

python scripts/generate_sample.py build/demo/volumes/checkpoints/models/stdlib-lm --prompt 'def main():'
"""

import argparse
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

NEW_TOKENS = 96
TEMPERATURE = 0.8


def generate(folder: str, prompt: str) -> str:
    """What the model goes on with after `prompt`; the same for the same folder and prompt."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    encoded = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    answer = model.generate(
        **encoded, max_new_tokens=NEW_TOKENS, do_sample=True, temperature=TEMPERATURE, pad_token_id=tokenizer.eos_token_id or 0
    )
    return tokenizer.decode(answer[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Generate text with a model folder.")
    parser.add_argument("folder")
    parser.add_argument("--prompt", default="def main():\n")
    options = parser.parse_args()
    sys.stdout.write(json.dumps({"prompt": options.prompt, "text": generate(options.folder, options.prompt)}) + "\n")
