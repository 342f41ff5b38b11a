"""The example of ZooKeeper does what it says."""

from commands import EXAMPLES, Running, wait_until


def test_one_of_two_workers_counts_and_the_other_one_follows(zookeeper, tmp_path, monkeypatch):
    """Two processes of the example: one works, both are there, and when that one stops the other one works."""
    monkeypatch.setenv("SERVERS", zookeeper.servers)
    file = EXAMPLES / "zookeeper.yaml"
    monkeypatch.setenv("WORKER", "one")
    with Running(file, cwd=tmp_path, ready="is connected") as one:
        one.wait_for("counts with token")
        monkeypatch.setenv("WORKER", "two")
        with Running(file, cwd=tmp_path, ready="is connected") as two:
            one.wait_for("of 2 workers")
            assert "counts" not in two.log
            assert one.stop() == 0
            two.wait_for("of 1 workers")
            wait_until(lambda: two.log.count("counts") > 1)
            assert two.stop() == 0
        assert "Traceback" not in one.log + two.log
