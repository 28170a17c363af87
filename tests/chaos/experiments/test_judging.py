"""From what a session has seen to a result."""

from pathlib import Path

from tarslab.chaos.experiments.judging import judged
from tests.chaos.experiments import made
from tests.chaos.load.made import Made


def test_no_secret_of_the_file_and_no_name_of_the_host_is_kept(tmp_path: Path):
    session = made.session(secrets={"cloud": {"token": "hunter2"}})
    content = session.experiment.content
    journal = {"status": "completed", "node": "build-7", "experiment": content}
    result = judged(session, journal, interrupted=False)
    folder = result.save(tmp_path)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {"experiment.json", "journal.json", "result.json"} <= set(kept)
    for name, text in kept.items():
        assert b"hunter2" not in text, name
        assert b"build-7" not in text, name
    # Those are for Chaos Toolkit, which goes on with them.
    assert journal["node"] == "build-7"
    assert content["secrets"]


def test_a_load_that_a_threshold_has_ended_is_a_criterion_that_does_not_hold():
    session = made.session()
    session._load_result = Made(aborted_by="http_req_failed: rate<0.1").requests(0, [10]).result()
    result = judged(session, {"status": "completed"}, interrupted=False)
    assert result.verdict == "failed"
    assert result.criteria["criterion"].tolist() == ["no threshold ends the load"]
    assert "1 (http_req_failed: rate<0.1), required == 0" in result.explain()


def test_a_load_that_went_on_is_no_criterion():
    session = made.session()
    session._load_result = Made().requests(0, [10]).result()
    assert judged(session, {"status": "completed"}, interrupted=False).rows == ()
