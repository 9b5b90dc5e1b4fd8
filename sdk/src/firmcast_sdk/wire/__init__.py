"""The vendor's wire contract: nothing outside this package spells its names, paths, codes or time format.

Every module holds both sides of its area, so that the platform and the SDK read and write the same bytes. Decoding is
lenient (each spelling a real client or server is known to send), encoding is strict (exactly one spelling, compact).

    decoding.decode_struct(CreateUpgradeRequest, body)      a JSON body
    queries.decode_query(OperationQuery, query)             a query string or a form
    encoding.encode_response(Operation(...))                an answer: nulls are written
    encoding.encode_request(CreateUpgradeRequest(...))      a request: nulls are left out
    queries.encode_query(OperationQuery(...))               a query string or a form
    notifications.decode(body), notifications.encode(...)   a push
    errors.encode_error(errors.TASK_NOT_FOUND)              an error
"""
