"""The pod as a whole: the supervisor's deadline, its exit codes, torchrun, the shell, and the prepare stage without torch."""

import os
import signal
import sys

from tests.support.trainer import TOKENS_PER_STEP, Home, eventually, from_shell, manifests, run_config, supervised, write_corpus

from farthing.contract.names import ENV_DISABLE_SUPERVISOR_DEADLINE

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1")


def stop_children(run) -> None:
    """SIGSTOP every child: a trainer that ignores everything."""
    for pid in eventually(lambda: run.pids() or None, lambda: run.log):
        os.kill(pid, signal.SIGSTOP)


def test_a_trainer_that_ignores_everything_is_killed_at_the_supervisor_s_end(home: Home):
    lease = {"trainerEnd": {"seconds": 2.0}, "supervisorEnd": {"seconds": 4.0}}
    with supervised(home.path, home.config(lease=lease)) as run:
        stop_children(run)
        assert run.wait() == [75], run.log
    word = run.last_word()
    assert (word.exit_code, word.reason) == (75, "DeadlineExceeded")
    assert "rank 0 left with -9" in run.log


def test_the_test_switch_leaves_the_deadline_to_others(home: Home):
    lease = {"trainerEnd": {"seconds": 0.5}, "supervisorEnd": {"seconds": 1.0}}
    with supervised(home.path, home.config(lease=lease), **{ENV_DISABLE_SUPERVISOR_DEADLINE: "1"}) as run:
        stop_children(run)
        eventually(lambda: True if run.age() > 2.5 else None, lambda: run.log)
        assert run.ended() is None
        run.signal(signal.SIGTERM)
        for pid in run.pids():
            os.kill(pid, signal.SIGCONT)
        assert run.wait() == [75]


def test_a_bad_config_is_a_64_that_names_field_value_and_way_out(home: Home):
    config = home.config(batch={"globalBatch": 5})
    with supervised(home.path, config) as run:
        assert run.wait() == [64], run.log
    word = run.last_word()
    assert (word.exit_code, word.reason) == (64, "BadConfig")
    assert "batch.globalBatch: 5 cannot be used: it must be 1 processes × 2 × 2 exactly" in word.message


def test_torchrun_runs_two_processes(home: Home):
    config = home.config(processes=2, tokens=6 * TOKENS_PER_STEP)
    with from_shell(home.path, config, *TORCHRUN, "-m", "farthing_trainer") as run:
        assert run.wait() == [0], run.log
    assert run.last_word().reason == "Landed"
    assert [m.step for m in manifests(home.path)][-1] == 6
    assert manifests(home.path)[-1].signature["world"] == 2


def test_the_shell_alone_prepares_and_never_imports_torch(home: Home):
    write_corpus(home.path / "corpus")
    config = run_config(home.path, stage="Prepare")
    probe = (
        "import sys; from farthing_trainer.__main__ import main; code = main(); "
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules, 'torch was imported'; sys.exit(code)"
    )
    with from_shell(home.path, config, sys.executable, "-c", probe) as run:
        assert run.wait() == [0], run.log
    word = run.last_word()
    assert word.reason == "Prepared"
    assert word.progress.prepared_tokens > 1000
    assert word.progress.prepared_digest is not None


def test_missing_data_is_a_64(home: Home):
    config = home.config(stage="Prepare", data={"train": {"uri": "file:///nowhere/*.txt"}})
    with supervised(home.path, config) as run:
        assert run.wait() == [64], run.log
    assert "data.train.uri: 'file:///nowhere/*.txt' cannot be used" in run.last_word().message


def test_training_without_a_product_says_to_prepare_first(home: Home):
    config = home.config(data={"preparedUri": f"file://{home.path}/empty"}, tokens=1000)
    with supervised(home.path, config) as run:
        assert run.wait() == [64], run.log
    assert "run the Prepare stage first" in run.last_word().message
