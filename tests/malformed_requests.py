"""Requests with something wrong: what no decent client sends."""

WELL_FORMED = [
    b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\nCookie: a=b; c\r\nAccept: */*\r\n\r\n",
    b"HEAD /files/ HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2\r\nIf-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n",
    b"GET /files/site.yaml HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2\r\n"
    b"If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n",
    b"POST /form HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 2\r\n\r\na=",
    b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 60\r\n\r\n"
    b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--b--\r\n',
    b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nT: r\r\n\r\n",
    b"POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x/y HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
]
ENDS = [
    b"\0",
    b"\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b"\xff",
    b"\x80",
    b";",
    b"%",
    b"%00",
    b"//",
    b"\x1b",
]
LINES = [
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 0x10",
    b"Content-Length: 1_0",
    b"Content-Length: " + b"9" * 30,
    b"Content-Length: 99999",
    b"Content-Length: 3, 3",
    b"Content-Length:",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked, gzip",
    b"Host: y",
    b"Host",
    b" folded",
    b": nameless",
    b"Na me: x",
    b"Cookie: " + b"=;" * 500,
    b"Range: bytes=" + b"0-1," * 900,
    b"Content-Type: multipart/form-data",
    b"Content-Type: multipart/form-data; boundary=" + b"b" * 300,
    b"Authorization: Basic ====",
    b"X: " + b"x" * 20_000,
    b"\r\n".join(b"X%d: y" % n for n in range(150)),
    b"Expect: 100-continue",
    b"If-Modified-Since:",
    b"Connection: upgrade\r\nUpgrade: websocket",
    b"If-None-Match: " + b'"' * 999,
]
#: What one reader takes for chunks, and another one not.
HIDDEN = [
    b"Transfer-Encoding: chunked",
    b"Transfer-encoding: Chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: \tchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding\0: chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"Transfer-Encoding:\r\n chunked",
    b"X: y\r\n Transfer-Encoding: chunked",
    b"Transfer_Encoding: chunked",
    b"Content-Length: 5",
    b"Content-Length: 0",
    b"content-length : 0",
    b"Content-Length: 0\0",
    b"Content-Length: +0",
]


def smuggling():
    """Requests whose body holds another one, which nobody may take for one."""
    body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    length = b"Content-Length: %d" % len(body)
    for hidden in HIDDEN:
        for lines in ([length, hidden], [hidden, length]):
            yield b"POST /outer HTTP/1.1\r\nHost: x\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + body


def mutated(chance):
    """A request with one to four things wrong."""
    data = bytearray(chance.choice(WELL_FORMED))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0:
                del data[place:]
            case 1:
                data[place:place] = chance.choice(ENDS) * chance.choice((1, 1, 2, 50))
            case 2:
                data[place : place + chance.randrange(20)] = b""
            case 3:
                data[place : place + 1] = bytes([chance.randrange(256)])
            case 4:
                line = data.find(b"\r\n")
                data[line + 2 : line + 2] = chance.choice(LINES) + b"\r\n"
            case 5:
                data[:] = data.replace(b"\r\n", b"\n", chance.choice((1, 2, -1)))
            case 6:
                data[place:place] = chance.randbytes(chance.choice((1, 10, 1000, 30_000)))
    return bytes(data)
