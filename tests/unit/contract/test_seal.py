import pytest

from farthing.contract.checkpoint import FileDigest, Manifest, open_sealed, sealed

MANIFEST = Manifest(
    job_uid="u", attempt="a-1", step=7, tokens=70, next_sample=28, seed=0, signature={"world": 2}, data_digest="d",
    tokenizer_digest="t", flops=1.5, duration_seconds=0.5, created="2026-01-01T00:00:00Z",
    files=(FileDigest(name="__0_0.distcp", bytes=3, sha256="00"),),
)  # fmt: skip


def test_what_was_sealed_is_opened():
    opened = open_sealed(sealed(MANIFEST))
    assert opened.model_copy(update={"seal": ""}) == MANIFEST
    assert sealed(opened) == sealed(MANIFEST)


@pytest.mark.parametrize("bit", range(8))
def test_any_flipped_bit_is_seen(bit: int):
    data = sealed(MANIFEST)
    for offset in range(len(data)):
        with pytest.raises(ValueError, match="seal"):
            open_sealed(data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1 :])


@pytest.mark.parametrize("cut", [0, 1, 2, 100, -1])
def test_a_part_is_not_the_whole(cut: int):
    with pytest.raises(ValueError, match="seal"):
        open_sealed(sealed(MANIFEST)[:cut])


def test_an_unsealed_one_is_refused():
    with pytest.raises(ValueError, match="seal"):
        open_sealed(MANIFEST.to_json().encode())
