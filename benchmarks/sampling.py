"""One sample of one row on one loop: builds what it takes, runs the two sides, watches the machine."""
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time

import servers

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BENCH_BUILD", os.path.join(HERE, "build"))

HZ = os.sysconf("SC_CLK_TCK")
CPU_SERVER, CPU_LOAD = 0, 1


# ---------------------------------------------------------------- building
def pyinfo(py):
    o = subprocess.check_output([py, "-c", "import sysconfig,sys;print(sysconfig.get_path('include'));print(sys.implementation.cache_tag)"], text=True)
    inc, tag = o.split("\n")[:2]
    return inc, tag


def build_c():
    os.makedirs(BUILD, exist_ok=True)
    src = os.path.join(HERE, "src")
    jobs = [("loadgen", ["-lssl", "-lcrypto"]), ("limit_epoll", ["-lssl", "-lcrypto"]), ("limit_uring", ["-luring"])]
    for name, libs in jobs:
        out, c = os.path.join(BUILD, name), os.path.join(src, name + ".c")
        if os.path.exists(out) and os.path.getmtime(out) > os.path.getmtime(c):
            continue
        r = subprocess.run(["cc", "-O2", "-w", "-o", out, c] + libs)
        if r.returncode:
            print("could not build", name, file=sys.stderr)
    if not os.path.exists(servers.CERT):
        subprocess.check_call(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                               "-keyout", servers.KEY, "-out", servers.CERT, "-days", "3650", "-subj", "/CN=localhost"],
                              stderr=subprocess.DEVNULL)
    f = os.path.join(BUILD, "bulk.bin")
    if not os.path.exists(f) or os.path.getsize(f) != servers.BULK:
        with open(f, "wb") as h:
            block = os.urandom(1 << 20)
            for _ in range(servers.BULK >> 20):
                h.write(block)


def build_ext(py):
    inc, tag = pyinfo(py)
    d = os.path.join(BUILD, tag)
    out, c = os.path.join(d, "floorloop.so"), os.path.join(HERE, "src", "floorloop.c")
    if not os.path.exists(out) or os.path.getmtime(out) < os.path.getmtime(c):
        os.makedirs(d, exist_ok=True)
        subprocess.check_call(["cc", "-O3", "-w", "-fPIC", "-shared", "-I" + inc, "-o", out, c])
    return d


# ---------------------------------------------------------------- /proc
def cpu_busy():
    """per-core busy seconds so far"""
    out = {}
    for line in open("/proc/stat"):
        if line.startswith("cpu") and line[3] != " ":
            f = line.split()
            v = [int(x) for x in f[1:9]]
            out[int(f[0][3:])] = (sum(v) - v[3] - v[4]) / HZ
    return out


def proc_cpu(pid):
    """(seconds on a core by the scheduler's clock, user ticks, system ticks, seconds runnable
    but kept waiting) of a live process, all its threads"""
    tot = wait = 0
    try:
        for t in os.listdir("/proc/%d/task" % pid):
            try:
                v = open("/proc/%d/task/%s/schedstat" % (pid, t)).read().split()
                tot += int(v[0])
                wait += int(v[1])
            except (FileNotFoundError, ProcessLookupError):
                pass
        f = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
        return tot / 1e9, int(f[11]), int(f[12]), wait / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0, 0, 0.0


def disturbed(wall, busy, mine, waited):
    """share of the time in which others really stood in the way: the smaller of what others
    ran on our cores and what we waited for a core (a loop's own threads also wait for each other)"""
    return max(0.0, min((busy - mine) / wall, waited / wall))


def rss_kb(pid):
    m = re.search(r"VmRSS:\s+(\d+)", open("/proc/%d/status" % pid).read())
    return int(m.group(1))


def children_of(pid):
    try:
        return [int(x) for x in open("/proc/%d/task/%d/children" % (pid, pid)).read().split()]
    except OSError:
        return []


def wait_quiet(args):
    end = time.time() + args.quiet_wait
    while True:
        a, t = cpu_busy(), time.time()
        time.sleep(0.15)
        b = cpu_busy()
        share = sum(b[c] - a[c] for c in (CPU_SERVER, CPU_LOAD) if c in a) / (time.time() - t)
        if share < 0.2 or time.time() > end:
            return share


# ---------------------------------------------------------------- processes
class Failed(Exception):
    pass


class Proc:
    def __init__(self, cmd, cpus, env=None, nice=0):
        def pre():
            os.sched_setaffinity(0, cpus)
            if nice:
                os.nice(nice)

        e = dict(os.environ, PYTHONHASHSEED="0", BENCH_BUILD=BUILD)
        e.update(env or {})
        self.err = tempfile.TemporaryFile()
        self.p = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.err, preexec_fn=pre, env=e, cwd=HERE)
        self.pid = self.p.pid
        self.buf = b""

    def line(self, timeout):
        end = time.time() + timeout
        fd = self.p.stdout.fileno()
        while b"\n" not in self.buf:
            left = end - time.time()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise Failed("timeout after %gs: %s" % (timeout, self.tail()))
            b = os.read(fd, 65536)
            if not b:
                rc = self.p.wait()
                raise Failed("exit %s: %s" % (rc, self.tail()))
            self.buf += b
        line, _, self.buf = self.buf.partition(b"\n")
        return line.decode()

    def expect(self, prefix, timeout):
        while True:
            s = self.line(timeout)
            if s.startswith(prefix):
                return s[len(prefix):].strip()

    def tail(self):
        self.err.seek(0)
        t = self.err.read().decode(errors="replace").strip().split("\n")
        return " | ".join(t[-3:])[-400:]

    def kill(self):
        # A chance to write what it has counted, where it counts; then no more.
        self.p.terminate()
        try:
            self.p.wait(2)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
        for f in (self.p.stdin, self.p.stdout, self.err):
            try:
                f.close()
            except OSError:
                pass


def child_cmd(loop, job, args):
    job = dict(job, factory=loop.get("factory"), prelude=loop.get("prelude"), gevent=loop.get("gevent", False))
    job["path"] = list(loop.get("path", []))
    if loop.get("ext"):
        job["path"] += [loop.get("ext_dir") or build_ext(loop["python"]), os.path.join(HERE, "src")]
    cmd = list(loop.get("launch", [])) + [loop["python"]] + loop.get("pyflags", [])
    return cmd + [os.path.join(HERE, "child.py"), json.dumps(job)]


def server_cmd(loop, row, args):
    opt = dict(row["opt"])
    if opt.get("file"):
        opt["file"] = os.path.join(BUILD, "bulk.bin")
    if loop.get("native"):
        argv = [str(a) for a in row["native"]]
        if "unix" in argv:
            argv[argv.index("unix")] = "unix:" + os.path.join(tempfile.mkdtemp(prefix="bench"), "s")
        if "FILE" in argv:
            argv[argv.index("FILE")] = opt["file"]
        return [os.path.join(BUILD, loop["native"])] + argv
    return child_cmd(loop, {"kind": "server", "server": row["server"], "opt": opt}, args)


def load_cmd(row, addr, args, extra=()):
    return [os.path.join(BUILD, "loadgen")] + [str(a) for a in row["load"]] + \
        ["--addr", addr, "--time", str(args.time), "--warmup", "0.25", "--cpu", str(CPU_LOAD)] + list(extra)


# ---------------------------------------------------------------- one sample
def sample_micro(loop, row, args):
    cpus = {int(c) for c in row["cpus"].split(",")}
    p = Proc(child_cmd(loop, {"kind": "micro", "name": row["name"], "scale": args.scale}, args), cpus, loop.get("env"), args.nice)
    try:
        c0 = cpu_busy()
        t0 = time.time()
        r = json.loads(p.expect("RESULT ", args.timeout))
        wall = time.time() - t0
        mine, _, _, waited = proc_cpu(p.pid)
        c1 = cpu_busy()
        busy = sum(c1[c] - c0[c] for c in cpus)
        r["foreign"] = disturbed(wall, busy, mine or wall, waited) if row["group"] != "proc" else 0
        r["value"] = r["best"]
        return r
    finally:
        p.kill()


def sample_server(loop, row, args):
    s = Proc(server_cmd(loop, row, args), args.server_cpus, loop.get("env"), args.nice)
    try:
        addr = json.loads(s.expect("READY ", 30))["addr"]
        if row["metric"] == "bytes":
            return sample_idle(s, addr, row, args)
        g = Proc(load_cmd(row, addr, args), {CPU_LOAD}, nice=args.nice)
        try:
            g.expect("START", args.timeout)
            a, b0, t0 = proc_cpu(s.pid), cpu_busy(), time.time()
            ga = proc_cpu(g.pid)
            g.expect("STOP", args.timeout)
            b, b1, t1 = proc_cpu(s.pid), cpu_busy(), time.time()
            gb = proc_cpu(g.pid)
            r = json.loads(g.line(5))
        finally:
            g.kill()
        wall = t1 - t0
        cpu = b[0] - a[0]
        busy = sum(b1[c] - b0[c] for c in {CPU_LOAD} | set(args.server_cpus) if c in b1)
        gen = gb[0] - ga[0] if gb[0] else r["gen_user"] + r["gen_sys"]
        r["foreign"] = disturbed(wall, busy, cpu + gen, b[3] - a[3] + max(0.0, gb[3] - ga[3]))
        r["server_cpu"] = cpu / r["secs"]
        ticks = (b[1] - a[1]) + (b[2] - a[2])
        r["sys_share"] = (b[2] - a[2]) / ticks if ticks else None
        r["cpu_us"] = cpu / r["ops"] * 1e6
        if row["metric"] == "mbps":
            r["cpu_us"] = cpu * 1e6 / (r["mbps"] * r["secs"])  # us per MB
        r["value"] = r[row["metric"]]
        r["unit"] = row["metric"]
        return r
    finally:
        s.kill()


def sample_idle(s, addr, row, args):
    time.sleep(0.2)
    n = row["opt"]["conns"]
    before = rss_kb(s.pid)
    g = Proc(load_cmd(row, addr, args), {CPU_LOAD})
    try:
        g.expect("READY", args.timeout)
        time.sleep(0.3)
        after = rss_kb(s.pid)
    finally:
        g.kill()
    return {"value": (after - before) * 1024 / n, "unit": "bytes", "foreign": 0, "rss0_kb": before}


def sample_client(loop, row, args):
    s = Proc([os.path.join(BUILD, "limit_epoll")] + [str(a) for a in row["native"]] + ["--busy"], {CPU_LOAD}, nice=args.nice)
    try:
        addr = json.loads(s.expect("READY ", 10))["addr"]
        p = Proc(child_cmd(loop, {"kind": "client", "client": row["client"], "opt": row["opt"], "addr": addr}, args),
                 args.server_cpus, loop.get("env"), args.nice)
        try:
            p.expect("GO", 30)
            a, b0, t0, sa = proc_cpu(p.pid), cpu_busy(), time.time(), proc_cpu(s.pid)
            r = json.loads(p.expect("RESULT ", args.timeout))
            b, b1, t1, sb = proc_cpu(p.pid), cpu_busy(), time.time(), proc_cpu(s.pid)
            wall = t1 - t0
            cpu = (b[0] or a[0]) - a[0]
            busy = sum(b1[c] - b0[c] for c in {CPU_LOAD} | set(args.server_cpus) if c in b1)
            r["foreign"] = disturbed(wall, busy, cpu + sb[0] - sa[0], max(0.0, b[3] - a[3]) + sb[3] - sa[3])
            r["cpu_us"] = cpu / (r["rate"] * (row["opt"]["time"] + 0.3)) * 1e6
            r["value"], r["unit"] = r["rate"], "rate"
            return r
        finally:
            p.kill()
    finally:
        s.kill()


def sample(loop, row, args):
    fn = {"micro": sample_micro, "server": sample_server, "client": sample_client}[row["kind"]]
    best = None
    for k in range(args.retries + 1):
        wait_quiet(args)
        try:
            r = fn(loop, row, args)
        except Failed as e:
            return {"error": str(e)}
        if best is None or r["foreign"] < best["foreign"]:
            best = r
        if best["foreign"] <= args.max_foreign:
            break
    best["tries"] = k + 1
    return best
