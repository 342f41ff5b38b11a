"""What the benchmark of faults counts is what was written down."""

from bench.faults.tally import Line, Tally, lines, numbers, pause_after


def processed(*texts):
    return [Line.read(text) for text in texts]


def test_a_number_that_was_confirmed_and_never_processed_is_lost():
    """Lost is what is in the one file and not in the other; what was processed unconfirmed is nobody's loss."""
    tally = Tally.of({1, 2, 3}, processed("1 q 0 10 a", "3 q 0 11 a", "4 q 0 12 a"))
    assert tally == Tally(confirmed=3, processed=3, duplicated=0, unmarked=0, lost=(2,))


def test_what_comes_again_is_counted_each_time_and_marked_or_not():
    """The first time may be marked or not; each further one without the flag is told."""
    tally = Tally.of({1}, processed("1 q 1 10 a", "1 q 0 11 b", "1 q 1 12 c"))
    assert (tally.processed, tally.duplicated, tally.unmarked) == (1, 2, 1)


def test_a_line_that_is_not_whole_yet_is_left_alone(tmp_path):
    """Records are read while they are written."""
    (tmp_path / "processed").write_text("1 q 0 10.5 7.0\n2 q 0 11")
    (tmp_path / "confirmed").write_text("1\n2\n3")
    assert lines(tmp_path / "processed") == [Line(1, "q", False, 10.5, "7.0")]
    assert numbers(tmp_path / "confirmed") == {1, 2}
    assert lines(tmp_path / "nothing") == []


def test_a_pause_ends_when_every_queue_has_brought_something():
    """The slowest queue counts, and as long as one is silent the pause lasts."""
    before = ("1 q 0 9 a", "2 r 0 9 a")
    assert pause_after(10, processed(*before, "3 q 0 11 a"), on_new_channels=False) is None
    assert pause_after(10, processed(*before, "3 q 0 11 a", "4 r 0 13 a"), on_new_channels=False) == 3


def test_what_was_on_its_way_when_a_connection_was_lost_ends_no_pause():
    """Only channels that are new since then count, where that is asked for."""
    came = processed("1 q 0 9 a", "2 q 0 11 a", "3 q 0 12 b")
    assert pause_after(10, came, on_new_channels=True) == 2
    assert pause_after(10, came, on_new_channels=False) == 1


def test_the_order_of_coming_counts_not_that_of_recording():
    """What comes first may be recorded last, when it had to wait for a connection."""
    assert Tally.of({1}, processed("1 q 1 12 b", "1 q 0 10 a")).unmarked == 0
    assert Tally.of({1}, processed("1 q 0 10 a", "1 q 0 12 b")).unmarked == 1
