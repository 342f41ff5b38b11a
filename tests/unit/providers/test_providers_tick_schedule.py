"""Tests of when ticks are due."""

from __future__ import annotations

import struct
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piped import ConfigurationError, Mark
from piped.config.nodes import Node
from piped.providers.tick_schedule import MOST_MISSED, Cron, CronExpression, Every, TimeZone, local_zone
from piped.spec.checking import Checker

OSLO = ZoneInfo("Europe/Oslo")


def at(text: str) -> float:
    """Seconds since 1970 of a moment in UTC, written as 2026-01-31 12:00."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def ticks(cron: Cron, since: str, until: str) -> list[str]:
    """The moments between two, each planned when the former has come, in UTC."""
    moments, end = [cron.first(at(since))], at(until)
    while moments[-1] <= end:
        moments.append(cron.after(moments[-1], 0))
    return [datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M") for moment in moments[:-1]]


def test_an_interval_begins_at_once() -> None:
    """The first tick is due at the start, each further one an interval after the former."""
    assert (Every(10).first(5), Every(10).after(5, 0), Every(10).after(5, 3)) == (5, 15, 12)


@given(st.floats(0.001, 1000), st.integers(0, 500), st.floats(0.01, 0.99), st.floats(0, 1e6))
def test_whole_intervals_are_missed(interval: float, whole: int, part: float, due: float) -> None:
    """As many as have fully passed since a tick was due."""
    assert Every(interval).missed(due, due + interval * (whole + part)) == whole


def test_a_cron_expression_gives_its_moments() -> None:
    """In the time of its zone; days of the week by their names."""
    assert ticks(Cron("30 4 * * MON-FRI", OSLO), "2026-06-05 00:00", "2026-06-09 00:00") == [
        "2026-06-05 02:30",
        "2026-06-08 02:30",
    ]
    assert ticks(Cron("0 12 L * *", ZoneInfo("UTC")), "2026-01-31 12:00", "2026-03-01 00:00") == ["2026-02-28 12:00"]


def test_a_moment_that_does_not_exist_comes_after_the_gap() -> None:
    """At 3 o'clock, as the clocks go from 2 to 3; once, though two moments of the expression are left out."""
    since, until = "2026-03-28 12:00", "2026-03-30 12:00"
    assert ticks(Cron("30 2 * * *", OSLO), since, until) == ["2026-03-29 01:00", "2026-03-30 00:30"]
    assert ticks(Cron("0,30 2 * * *", OSLO), since, "2026-03-29 12:00") == ["2026-03-29 01:00"]


def test_a_moment_that_exists_twice_counts_once() -> None:
    """The first time, as the clocks go from 3 back to 2."""
    assert ticks(Cron("30 2 * * *", OSLO), "2026-10-24 12:00", "2026-10-26 12:00") == [
        "2026-10-25 00:30",
        "2026-10-26 01:30",
    ]


def test_expressions_with_seconds_keep_to_the_same_rules() -> None:
    """A nightly job is not left out once a year, nor run twice, because somebody has written its second."""
    forward, back = ("2026-03-28 12:00", "2026-03-30 12:00"), ("2026-10-24 12:00", "2026-10-26 12:00")
    for seconds in ("0", "0,20,40"):
        assert ticks(Cron(f"{seconds} 30 2 * * *", OSLO), *forward)[:1] == ["2026-03-29 01:00"]
    assert ticks(Cron("0 30 2 * * *", OSLO), *forward) == ["2026-03-29 01:00", "2026-03-30 00:30"]
    assert ticks(Cron("0 30 2 * * *", OSLO), *back) == ["2026-10-25 00:30", "2026-10-26 01:30"]


def test_moments_in_a_gap_are_missed_once() -> None:
    """Who asks what was missed gets as many as would have come."""
    cron = Cron("0,30 2 * * *", OSLO)
    assert cron.missed(at("2026-03-28 12:00"), at("2026-03-29 12:00")) == 1


def test_a_start_in_the_second_of_two_equal_hours_waits_for_the_next_day() -> None:
    """What was due in the first of them is over, and nothing is due in the past."""
    assert ticks(Cron("30 2 * * *", OSLO), "2026-10-25 01:10", "2026-10-26 12:00") == ["2026-10-26 01:30"]


def test_what_recurs_within_the_hour_goes_on_when_the_clocks_change() -> None:
    """Every half an hour is every half an hour, whatever the clocks show."""
    cron = Cron("*/30 * * * *", OSLO)
    for day in ("2026-03-29", "2026-10-25"):
        assert ticks(cron, f"{day} 00:00", f"{day} 02:00") == [
            f"{day} {time}" for time in ("00:30", "01:00", "01:30", "02:00")
        ]


@given(
    st.floats(at("2026-10-24 00:00"), at("2026-10-26 00:00")),
    st.sampled_from(["*/7 * * * *", "5,30 1-3 * * *", "7 5,30 1-3 * * *"]),
)
def test_the_next_moment_is_in_the_future(now: float, expression: str) -> None:
    """Else a tick would follow itself without end."""
    cron = Cron(expression, OSLO)
    assert cron.first(now) > now
    assert cron.missed(now, cron.first(now)) == 1


def test_moments_that_were_missed_are_counted_up_to_a_bound() -> None:
    """A machine that slept for a year is not busy with counting."""
    cron = Cron("* * * * *", OSLO)
    due = at("2026-01-01 00:00")
    assert cron.missed(due, due) == 0
    assert cron.missed(due, due + 59) == 0
    assert cron.missed(due, due + 600) == 10
    assert cron.missed(due, due + 365 * 86400) == MOST_MISSED


def check(kind: type[CronExpression] | type[TimeZone], written: object) -> tuple[object, list[str]]:
    checker = Checker({})
    value = kind.__check__(checker, Node(written, Mark("site.yml", 1, 7)))
    return value, [str(problem) for problem in checker.problems]


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("* * * *", "Wrong number of fields"),
        ("61 * * * *", "Bad minute"),
        ("* 24 * * *", "Bad hour"),
        ("* * 0 * *", "Bad day-of-month"),
        ("* * * JANUARY *", "Bad month"),
        ("* * * * 8", "Bad day-of-week"),
        ("60 * * * * *", "Bad second"),
        ("0 0 30 2 *", "Bad day-of-month"),
        ("0 0 */31 * SUN#5", "there is no such day"),
    ],
)
def test_a_wrong_cron_expression_is_told_with_its_field(written: str, why: str) -> None:
    """At its place, with what has to be written."""
    fix = "write minute, hour, day of month, month and day of week, such as '30 4 * * MON-FRI'"
    assert check(CronExpression, written) == (
        None,
        [f"site.yml:1:7: {written!r} is no cron expression: {why} – {fix}"],
    )


@pytest.mark.parametrize("kind", [CronExpression, TimeZone])
def test_what_is_no_text_is_told(kind: type[CronExpression] | type[TimeZone]) -> None:
    """A number is neither a cron expression nor a time zone."""
    value, [problem] = check(kind, 5)
    assert value is None
    assert problem.startswith("site.yml:1:7: ")
    assert problem.endswith("must be text, not 5")


@pytest.mark.parametrize("written", ["", "Mars/Base", "Europe", "../etc/passwd", "/etc/passwd"])
def test_a_time_zone_that_nobody_knows_is_told(written: str) -> None:
    """Also what looks like a file."""
    value, [problem] = check(TimeZone, written)
    assert value is None
    assert problem.startswith(
        f"site.yml:1:7: timezone must be the name of a time zone, such as Europe/Oslo, not {written!r}"
    )


def test_what_is_right_is_text() -> None:
    """Expressions and time zones are what was written."""
    assert check(CronExpression, "*/5 0 1,15 * SUN#1") == ("*/5 0 1,15 * SUN#1", [])
    assert check(TimeZone, "Europe/Oslo") == ("Europe/Oslo", [])


def test_the_package_is_imported_for_a_cron_expression_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals and time zones do without."""
    monkeypatch.delitem(sys.modules, "cronsim", raising=False)
    Every(10).missed(0, 100)
    check(TimeZone, "UTC")
    assert "cronsim" not in sys.modules
    check(CronExpression, "* * * * *")
    assert "cronsim" in sys.modules


def test_the_local_zone_is_that_of_other_programs(tmp_path: Path) -> None:
    """What TZ names, also with a colon; else the file of the machine, with its summer time; else UTC."""
    nowhere = str(tmp_path / "localtime")
    assert local_zone({"TZ": "Europe/Oslo"}, nowhere) == OSLO
    assert local_zone({"TZ": ":Europe/Oslo"}, nowhere) == OSLO
    assert local_zone({"TZ": ""}, nowhere) == ZoneInfo("UTC")


def test_the_local_zone_knows_summer_time(tmp_path: Path) -> None:
    """The file of the machine holds all of it, not only the offset of today."""
    # A zone as a POSIX rule, as every file of the kind ends: version 2, no transitions, one hour before UTC.
    header, body = struct.pack(">5s15x6l", b"TZif2", 0, 0, 0, 0, 1, 4), struct.pack(">l2x4s", 3600, b"CET")
    file = tmp_path / "localtime"
    file.write_bytes((header + body) * 2 + b"\nCET-1CEST,M3.5.0,M10.5.0/3\n")
    zone = local_zone({}, str(file))
    offsets = [datetime(2026, month, 1, tzinfo=zone).strftime("%z") for month in (1, 7)]
    assert offsets == ["+0100", "+0200"]


def test_a_local_zone_that_is_no_name_is_told() -> None:
    """A rule in TZ would have to be guessed."""
    with pytest.raises(ConfigurationError, match="TZ=CET-1CEST is no name of a time zone") as raised:
        local_zone({"TZ": "CET-1CEST"})
    assert raised.value.hint == "name the time zone with the option timezone"


def test_a_file_of_the_machine_that_holds_no_time_zone_is_told(tmp_path: Path) -> None:
    """As where somebody has mounted a folder in its place; UTC would be a guess."""
    file = tmp_path / "localtime"
    file.write_text("Europe/Oslo")
    for wrong in (file, tmp_path):
        with pytest.raises(ConfigurationError, match=f"{wrong} holds no time zone") as raised:
            local_zone({}, str(wrong))
        assert raised.value.hint == "name the time zone with the option timezone"
