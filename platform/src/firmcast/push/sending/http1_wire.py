"""What comes before the body of a POST over HTTP/1.1: what libcurl would say (RFC 9112, sections 3 and 5)."""

from collections.abc import Sequence

from firmcast.push.sending.header_lines import check_name, plain_fields


def post_head(authority: str, path: str, lines: Sequence[str], names: Sequence[str]) -> str:
    """Return the head of requests to one URL, for the `%` operator: a value for each name, the length of the body.

    Before them come lines of `name: value` that all have; `expect:` takes out what we do not say anyway.

    Raises:
        WireError: a line is no such, or more than it seems, or says what is the connection's to say; or so a name.
    """
    known = [f"POST {path} HTTP/1.1", f"Host: {authority}", "Accept: */*"]
    known += [f"{name}: {value}" for name, value in plain_fields(lines)]
    for name in names:
        check_name(name)
    told = [line.replace("%", "%%") for line in known] + [f"{name.replace('%', '%%')}: %s" for name in names]
    return "\r\n".join((*told, "Content-Length: %d", "", ""))
