"""What comes before the body of a POST over HTTP/1.1: what libcurl would say (RFC 9112, sections 3 and 5)."""

from firmcast.push.header_lines import OMITTED, WireError, check_name, check_text

_OMITTED_LINE = f"\n{OMITTED}\n"


def post_line(authority: str, path: str) -> bytes:
    """Return the part of a request's head that is the same for each to one URL, without the end of its last line."""
    return f"POST {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: */*".encode()


def head_lines(lines: list[str], length: int) -> bytes:
    """Return the rest of the head: lines of `name: value`, and the length of the body.

    `expect:` takes out what we do not say anyway.

    Raises:
        WireError: a line is no such, or more than it seems, or says what is the connection's to say.
    """
    for line in lines:
        name, _, value = line.partition(": ")
        if value:
            check_name(name)
        elif line != OMITTED:
            raise WireError("a line without a value")
    text = "\n".join(lines)
    check_text(text, lines)
    text = f"\n{text}\nContent-Length: {length}\n\n" if lines else f"\nContent-Length: {length}\n\n"
    return text.replace(_OMITTED_LINE, "\n", 1).replace("\n", "\r\n").encode()
