"""Cookies: whose they are, and for how long."""

from firmcast.coap.dtls.cookies import COOKIE_LENGTH, Cookies

ADDRESS = ("192.0.2.9", 40000)


def test_a_cookie_is_that_of_its_address() -> None:
    cookies = Cookies(60.0)
    cookie = cookies.make(ADDRESS, 0.0)
    assert len(cookie) == COOKIE_LENGTH
    assert cookies.is_valid(cookie, ADDRESS, 0.0)
    assert not cookies.is_valid(cookie, ("192.0.2.9", 40001), 0.0)
    assert not cookies.is_valid(cookie, ("192.0.2.8", 40000), 0.0)
    assert not cookies.is_valid(cookie[:-1], ADDRESS, 0.0)
    assert not cookies.is_valid(b"", ADDRESS, 0.0)


def test_another_server_takes_no_cookie_of_this_one() -> None:
    assert not Cookies(60.0).is_valid(Cookies(60.0).make(ADDRESS, 0.0), ADDRESS, 0.0)


def test_a_cookie_lives_for_its_life_and_less_than_two() -> None:
    cookies = Cookies(60.0)
    cookies.make(ADDRESS, 0.0)
    late = cookies.make(ADDRESS, 59.0)
    assert cookies.is_valid(late, ADDRESS, 119.0)
    assert not cookies.is_valid(late, ADDRESS, 179.1)


def test_no_cookie_outlives_a_silence() -> None:
    cookies = Cookies(60.0)
    cookie = cookies.make(ADDRESS, 0.0)
    assert not cookies.is_valid(cookie, ADDRESS, 600.0)
