"""Lines that anybody can bring about."""

from firmcast.gateway.sparing_log import LINES, SparingLog


def test_so_many_lines_a_minute_are_written_and_the_others_counted() -> None:
    log = SparingLog()
    assert [log.left_out_before(10.0 + second) for second in range(50)] == [0] * LINES + [None] * (50 - LINES)
    assert log.left_out_before(69.9) is None
    assert log.left_out_before(70.0) == 50 - LINES + 1
    assert log.left_out_before(70.0) == 0
