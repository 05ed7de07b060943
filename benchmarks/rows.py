"""The rows of the server and client workloads.  SPECS maps a row name to
  server  function of servers.py    native  argv of limit_epoll / limit_uring for the same row
  load    argv of loadgen           metric  "rate" (ops/s), "mbps", or "bytes"
  client  function of clients.py    opt     what they are given
"""
from servers import BULK, CERT, KEY

SPECS = {}


def row(name, server, load, group, native=None, uring=False, metric="rate", client=None, **opt):
    SPECS[name] = dict(name=name, server=server, load=load, group=group, native=native, uring=uring,
                       metric=metric, client=client, opt=opt)


K = {"1k": 1024, "10k": 10240, "100k": 102400}
for sz, b in K.items():
    for c in (1, 10, 100, 1000):
        row(f"tcp_proto_{sz}_c{c}", "proto_echo", ["echo", "--conns", c, "--size", b], "tcp",
            ["echo"], True, flow=b > 65536)
    for c in (1, 10, 100):
        row(f"tcp_streams_{sz}_c{c}", "streams_echo", ["echo", "--conns", c, "--size", b], "streams",
            ["echo"], True, size=b)
        row(f"tcp_sock_{sz}_c{c}", "sock_echo", ["echo", "--conns", c, "--size", b], "sock", ["echo"], True)
        row(f"tls_proto_{sz}_c{c}", "proto_echo", ["echo", "--tls", "--conns", c, "--size", b], "tls",
            ["echo", "--tls", CERT, KEY], tls=True, flow=b > 65536)
    row(f"tcp_buffered_{sz}_c10", "buffered_echo", ["echo", "--conns", 10, "--size", b], "tcp", ["echo"], True)
    row(f"tls_streams_{sz}_c10", "streams_echo", ["echo", "--tls", "--conns", 10, "--size", b], "tls",
        ["echo", "--tls", CERT, KEY], tls=True, size=b)
    row(f"unix_proto_{sz}_c10", "proto_echo", ["echo", "--conns", 10, "--size", b], "unix",
        ["echo", "--addr", "unix"], True, unix=True, flow=b > 65536)
for c in (1, 100):
    row(f"unix_proto_1k_c{c}", "proto_echo", ["echo", "--conns", c, "--size", 1024], "unix",
        ["echo", "--addr", "unix"], True, unix=True)
row("unix_streams_1k_c10", "streams_echo", ["echo", "--conns", 10, "--size", 1024], "unix",
    ["echo", "--addr", "unix"], True, unix=True, size=1024)
for c in (1, 10, 100):
    row(f"tcp_readline_100b_c{c}", "streams_readline", ["echo", "--line", "--conns", c, "--size", 100], "streams",
        ["echo"], True)
row("tcp_readline_1k_c10", "streams_readline", ["echo", "--line", "--conns", 10, "--size", 1024], "streams", ["echo"], True)
row("tcp_streams_read_1k_c10", "streams_read", ["echo", "--conns", 10, "--size", 1024], "streams", ["echo"], True)
for sz, b in (("100b", 100), ("1k", 1024)):
    for c in (1, 10):
        row(f"udp_{sz}_c{c}", "udp_echo", ["echo", "--conns", c, "--size", b], "udp", ["echo", "--addr", "udp:127.0.0.1:0"])
row("udp_1k_c100", "udp_echo", ["echo", "--conns", 100, "--size", 1024], "udp", ["echo", "--addr", "udp:127.0.0.1:0"])
for f in ("writelines", "write8"):
    row(f"{f}_10k_c10", f, ["echo", "--conns", 10, "--size", 64, "--rsize", 10240], "tcp",
        ["reqresp", "--size", 64, "--rsize", 10240], size=64, rsize=10240)
for c in (10, 100):
    row(f"task_request_c{c}", "task_request", ["echo", "--conns", c, "--size", 64, "--rsize", 1024], "tasks",
        ["reqresp", "--size", 64, "--rsize", 1024], size=64, rsize=1024)
for c in (1, 64):
    row(f"http_proto_c{c}", "http_proto", ["http", "--conns", c], "http", ["http"], True)
    row(f"http_uvicorn_c{c}", "http_uvicorn", ["http", "--conns", c], "http", ["http"], True)
    row(f"http_aiohttp_c{c}", "http_aiohttp", ["http", "--conns", c], "http", ["http"], True)
row("https_uvicorn_c64", "http_uvicorn", ["http", "--tls", "--conns", 64], "http", ["http", "--tls", CERT, KEY], tls=True)
row("accept_close_c16", "proto_echo", ["conn", "--conns", 16, "--size", 64], "conn", ["echo"], True)
row("accept_close_streams_c16", "streams_read", ["conn", "--conns", 16, "--size", 64], "conn", ["echo"], True)
for kind, how in (("full", []), ("resumed", ["--resume"])):
    row(f"tls_handshake_{kind}", "proto_echo", ["shake", "--tls", "--size", 64] + how, "conn",
        ["echo", "--tls", CERT, KEY], tls=True)
row("bulk_recv", "sink", ["send", "--bytes", BULK], "bulk", ["sink", "--size", BULK], metric="mbps", bytes=BULK)
row("bulk_recv_streams", "sink_streams", ["send", "--bytes", BULK], "bulk", ["sink", "--size", BULK], metric="mbps", bytes=BULK)
row("bulk_send", "source", ["recv", "--bytes", BULK], "bulk", ["source", "--size", BULK], metric="mbps", bytes=BULK)
row("bulk_send_streams", "source_streams", ["recv", "--bytes", BULK], "bulk", ["source", "--size", BULK], metric="mbps", bytes=BULK)
row("bulk_sendfile", "sendfile", ["recv", "--bytes", BULK], "bulk", ["file", "--size", BULK, "--file", "FILE"],
    metric="mbps", bytes=BULK, file="FILE")
row("bulk_tls_recv", "sink", ["send", "--tls", "--bytes", BULK // 4], "bulk",
    ["sink", "--size", BULK // 4, "--tls", CERT, KEY], metric="mbps", tls=True, bytes=BULK // 4)
row("bulk_tls_send", "source", ["recv", "--tls", "--bytes", BULK // 4], "bulk",
    ["source", "--size", BULK // 4, "--tls", CERT, KEY], metric="mbps", tls=True, bytes=BULK // 4)
row("idle_10k_bytes_per_conn", "proto_echo", ["idle", "--conns", 10000], "mem", ["echo"], metric="bytes", conns=10000)
row("idle_streams_bytes_per_conn", "streams_read", ["idle", "--conns", 10000], "mem", ["echo"], metric="bytes", conns=10000)
row("idle_tls_bytes_per_conn", "proto_echo", ["idle", "--tls", "--conns", 1000], "mem",
    ["echo", "--tls", CERT, KEY], metric="bytes", conns=1000, tls=True)
for c in (1, 10, 100):
    row(f"client_streams_1k_c{c}", None, None, "client", ["echo"], client="c_streams_echo", size=1024, conns=c, time=1.0)
row("client_proto_1k_c10", None, None, "client", ["echo"], client="c_proto_echo", size=1024, conns=10, time=1.0)
row("client_sock_1k_c10", None, None, "client", ["echo"], client="c_sock_echo", size=1024, conns=10, time=1.0)
row("client_connect_c10", None, None, "client", ["echo"], client="c_connect", conns=10, time=1.0)
row("client_aiohttp_c10", None, None, "client", ["http"], client="c_aiohttp", conns=10, time=1.0)
for c in (1, 10, 100, 1000):
    row(f"g_tcp_1k_c{c}", "g_echo", ["echo", "--conns", c, "--size", 1024], "gevent", ["echo"], True)
row("g_tcp_10k_c10", "g_echo", ["echo", "--conns", 10, "--size", 10240], "gevent", ["echo"], True)
row("g_tcp_100k_c10", "g_echo", ["echo", "--conns", 10, "--size", 102400], "gevent", ["echo"], True)
row("g_pywsgi_c64", "g_pywsgi", ["http", "--conns", 64], "gevent", ["http"], True)
row("g_accept_close_c16", "g_echo", ["conn", "--conns", 16, "--size", 64], "gevent", ["echo"], True)
