"""The finished model is a folder that transformers loads, and from which fine-tuning starts."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tests.support.trainer import TINY_LLAMA, TOKENS_PER_STEP, Home, checkpoint_tensors, landed, manifests, train
from transformers import AutoModelForCausalLM, AutoTokenizer

LORA = {"rank": 4, "alpha": 8.0, "dropout": 0.1}


@pytest.fixture(scope="module")
def finished(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A run of two ranks that landed."""
    home = Home(tmp_path_factory.mktemp("finished"), data)
    model = {"config": {**TINY_LLAMA, "tie_word_embeddings": getattr(request, "param", True)}}
    landed(home.path, home.config(processes=2, tokens=30 * TOKENS_PER_STEP, model=model))
    return home


def load(folder: Path):
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def test_the_output_loads_and_generates(finished: Home):
    model, tokenizer = load(finished.path / "output")
    prompt = tokenizer("the budget", return_tensors="pt")
    made = model.generate(**prompt, max_new_tokens=8, do_sample=False)
    assert made.shape[1] == prompt["input_ids"].shape[1] + 8
    assert tokenizer.decode(prompt["input_ids"][0]) == "the budget"


@pytest.mark.parametrize("finished", [False, True], ids=["untied", "tied"], indirect=True)
def test_the_output_has_the_weights_of_the_last_checkpoint(finished: Home):
    model, _ = load(finished.path / "output")
    weights = model.state_dict()
    for name, value in checkpoint_tensors(sorted((finished.path / "checkpoints").glob("step-????????"))[-1]).items():
        if name.startswith("model."):
            assert torch.equal(weights[name.removeprefix("model.")], value), name


@pytest.mark.parametrize("finished", [False, True], ids=["untied", "tied"], indirect=True)
def test_the_output_s_own_loss_is_the_reported_one(finished: Home):
    """transformers' loss over the same text agrees with ours, so neither the head nor the shift is wrong."""
    from farthing_trainer.data import open_split
    from farthing_trainer.evaluate import spread
    from farthing_trainer.prepared import find_product

    config = finished.config()
    folder, product = find_product(config.data)
    held_out = open_split(folder, product, product.validation, 32, finished.path)
    model, _ = load(finished.path / "output")
    rows = torch.stack([torch.from_numpy(held_out._stream.slice(int(i) * 32, 33)) for i in spread(8, len(held_out))])
    with torch.no_grad():
        loss = float(model(rows, labels=rows).loss)
    reported = landed_progress(finished).validation_loss
    assert loss == pytest.approx(reported, abs=1e-4)


def landed_progress(home: Home):
    from farthing.contract.progress import LastWord

    return LastWord.model_validate_json((home.path / "last-word.json").read_bytes()).progress


def fine_tuning(home: Home, base: Home, **model: object):
    wanted = {"config": None, "pretrainedUri": f"file://{base.path}/output", **model}
    return home.config(processes=2, tokens=12 * TOKENS_PER_STEP, model=wanted, optimizer={"learningRate": 0.001})


def test_full_fine_tuning_goes_on_from_the_folder(home: Home, finished: Home):
    before = landed_progress(finished)
    run = landed(home.path, fine_tuning(home, finished))
    progress = run.last_word().progress
    assert progress.validation_loss < before.validation_loss
    load(home.path / "output")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks transformers
def test_lora_trains_adapters_alone_and_gives_merged_weights_and_the_adapter(home: Home, finished: Home):
    config = fine_tuning(home, finished, adapter="LoRA", lora=LORA)
    run = landed(home.path, config)
    saved = checkpoint_tensors(sorted((home.path / "checkpoints").glob("step-????????"))[-1])
    assert all("lora_" in name for name in saved)
    merged, tokenizer = load(home.path / "output")
    base, _ = load(finished.path / "output")
    adapted = PeftModel.from_pretrained(base, home.path / "output" / "adapter")
    tokens = tokenizer("the budget of a run", return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(merged(**tokens).logits, adapted(**tokens).logits, rtol=1e-4, atol=1e-5)
    plain = load_file(finished.path / "output" / "model.safetensors")
    changed = {n for n, v in load_file(home.path / "output" / "model.safetensors").items() if not torch.equal(v, plain[n])}
    assert changed == {f"model.layers.{i}.self_attn.{p}_proj.weight" for i in (0, 1) for p in "qkvo"}
    assert run.last_word().progress.validation_loss < landed_progress(finished).validation_loss


def test_lora_resumes_bit_for_bit_with_dropout(home: Home, finished: Home, tmp_path: Path):
    want = Home(tmp_path / "want", home.data)
    want.path.mkdir()
    landed(want.path, fine_tuning(want, finished, adapter="LoRA", lora=LORA))
    config = fine_tuning(home, finished, adapter="LoRA", lora=LORA)
    train(home.path, config, stop_at=5)
    landed(home.path, config)
    one, other = (checkpoint_tensors(h.path / "checkpoints" / "step-00000012") for h in (want, home))
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert manifests(home.path)[0].step == 6


def test_a_folder_that_is_no_model_is_bad_input(home: Home, tmp_path: Path):
    run = train(home.path, home.config(tokens=999, model={"config": None, "pretrainedUri": f"file://{tmp_path}/nothing"}))
    assert run.wait() == [64]
    assert "model.pretrainedUri" in run.last_word().message
