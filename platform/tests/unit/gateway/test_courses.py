"""How fast a package goes is what it did in the last looks, and it is written when somebody would want to know."""

from datetime import UTC, datetime, timedelta

from firmcast.gateway.progress import Course

START = datetime(2026, 1, 1, tzinfo=UTC)
SIZE = 100_000


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_the_rate_is_that_of_the_last_looks() -> None:
    course = Course(0, at(0))
    assert course.look(5000, at(5), at(5)) == 1000
    for look in range(2, 8):
        rate = course.look(5000 + 10_000 * (look - 1), at(5 * look), at(5 * look))
    assert rate == 2000
    assert course.look(65_000, at(35), at(40)) == 1500, "it stands still, and the rate falls"
    for look in range(9, 13):
        rate = course.look(65_000, at(35), at(5 * look))
    assert rate == 0


def test_a_package_that_was_there_before_the_look_is_not_called_slow() -> None:
    course = Course(0, at(0))
    assert course.look(SIZE, at(0.5), at(5)) == 200_000


def test_what_begins_anew_has_a_rate_of_its_own() -> None:
    course = Course(0, at(0))
    course.look(50_000, at(5), at(5))
    assert course.look(1000, at(10), at(10)) == 0
    assert course.look(6000, at(15), at(15)) == 1000


def test_it_is_news_at_first_a_hundredth_further_at_the_end_and_now_and_then() -> None:
    course = Course(0, at(0))
    assert course.is_news(10, SIZE, at(1))
    course.wrote(10, at(1))
    course.look(900, at(5), at(5))
    assert not course.is_news(900, SIZE, at(5))
    assert course.is_news(1010, SIZE, at(5))
    assert course.is_news(0, SIZE, at(31)), "a little, after long"
    course.look(1010, at(6), at(6))
    course.wrote(1010, at(6))
    assert not course.is_news(1010, SIZE, at(35))
    assert course.is_news(1010, SIZE, at(36)), "it moves no more"
    assert course.is_over(1010, SIZE, at(36))
    assert course.is_news(SIZE, SIZE, at(7))
    assert course.is_over(SIZE, SIZE, at(7))
