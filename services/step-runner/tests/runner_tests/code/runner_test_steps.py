"""Steps that the runner's tests execute."""

import contextlib
import datetime
import gzip
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kaon.step import Artifact, StepContext
from kaon_artifacts.digesting import digest_of


def nothing():
    return None


def add(a, b):
    return {"sum": a + b}


def whoami():
    return {"pid": os.getpid()}


def speak(text):
    print(text)
    print("to stderr", file=sys.stderr)
    os.write(1, b"by descriptor\n")
    subprocess.run(["echo", "by a child"], check=True)
    return {}


def chatty(context: StepContext):
    context.progress(0.5, "half")
    context.metric("rmse", 0.9)
    context.checkpoint({"epoch": 3})
    return {"last": context.last_checkpoint}


def save_much(context: StepContext):
    context.checkpoint({"text": "s" * 30_000})


def fail():
    raise ValueError("the data is odd")


def leave(code):
    os._exit(code)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def wrong_outputs():
    return {"other": 1}


def wrong_type():
    return {"sum": "a text"}


def sleep(seconds):
    time.sleep(seconds)


def speak_and_sleep(text, seconds):
    print(text, flush=True)
    time.sleep(seconds)
    return {}


def sleep_and_tell(seconds, path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(seconds)


def watch(context: StepContext, path: str):
    while not context.cancelled:
        if not os.path.exists(path):
            Path(path).write_text("watching")
        time.sleep(0.01)
    with open(path, "w") as file:
        file.write("ended by itself")


def write_model(context: StepContext):
    context.artifact_path("model").write_text("weights")
    return {"rmse": 0.5}


def write_ratings(context: StepContext, where: str):
    parts = context.work / "parts"
    parts.mkdir()
    (parts / "one.csv").write_text("a,b")
    if where == "artifacts":
        place = context.artifact_path("ratings", ".csv.gz")
    else:
        directory = context.work if where == "work" else Path(tempfile.mkdtemp())
        place = directory / "ratings.csv.gz"
    place.write_bytes(gzip.compress(b"a,b", mtime=0))
    return {"parts": parts} if where == "artifacts" else {"ratings": place, "parts": str(parts)}


def read_ratings(ratings: Artifact, parts: Artifact):
    names = [ratings.name, Path(ratings).name, Path(parts).name, *os.listdir(parts)]
    assert not Path(ratings).is_symlink()
    assert not Path(parts).is_symlink()
    return {"names": names, "text": gzip.decompress(Path(ratings).read_bytes()).decode()}


def return_directory(context: StepContext):
    directory = context.work / "model"
    (directory / "checkpoint-1").mkdir(parents=True)
    (directory / "checkpoint-1" / "w").write_text("weights")
    (directory / "run.sh").write_text("")
    (directory / "run.sh").chmod(0o755)
    (directory / "latest").symlink_to("checkpoint-1")
    (directory / "absolute").symlink_to(directory / "checkpoint-1" / "w")
    return {"model": directory, "digest": digest_of(directory)}


def give_back(path):
    return path


def refer_to(digest, nested):
    """What somebody writes who knows a digest: as an artifact, and within other values."""
    reference = {"uri": "file:///x", "digest": digest, "size": 1, "type": "file"}
    return {"out": [{"deep": {"artifact": reference}}] if nested else reference}


def pass_on(model: Artifact):
    reference = {"artifact": model.to_reference()}
    return {"model": model, "models": [reference], "by_name": {"model": reference}}


def read_model(model: Artifact):
    return {"text": open(model).read(), "digest": model.digest}


def print_much(megabytes):
    line = "x" * 99 + "\n"
    block = line * 1000
    for _ in range(megabytes * 10):
        sys.stdout.write(block)


def large(size):
    return {"text": "y" * size}


def large_each(size, names):
    return dict.fromkeys(names, "y" * size)


def echo_size(text):
    return {"size": len(text)}


def escape(path):
    """Leaves a daemon in a session of its own that ignores SIGTERM, and sleeps."""
    code = f"""
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open({path!r}, "w").write(str(os.getpid()))
time.sleep(1000)
"""
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    while not os.path.exists(path) or not Path(path).read_text():
        time.sleep(0.01)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)


def eat(megabytes):
    held = [b"x" * 2**20 for _ in range(megabytes)]
    return {"held": len(held)}


def burn(seconds):
    """Uses a core for a while; returns how much of it the process got, seconds."""
    began = time.process_time()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return {"used": time.process_time() - began}


def breed(most):
    """Starts processes until the system refuses."""
    started = []
    with contextlib.suppress(OSError):
        while len(started) < most:
            started.append(subprocess.Popen(["sleep", "30"]))
    for process in started:
        process.kill()
        process.wait()
    return {"count": len(started)}


def obey(context: StepContext, path):
    """Takes orders until it is told to end; what came while it was not looking is there when it looks."""
    Path(path).write_text("ready")
    heard = []
    while (signal := context.wait_signal("order", timeout=20)) is not None:
        heard.append(signal.payload)
        if signal.payload == "end":
            break
    return {"heard": heard, "others": [signal.name for signal in context.signals()]}


def await_in_vain(context: StepContext):
    return {"came": context.wait_signal(timeout=0.2) is not None}


def await_or_stop(context: StepContext, path):
    assert not context.cancelled
    Path(path).write_text("waiting")
    Path(path).write_text(str(context.wait_signal()))


kept = []


def hoard(megabytes):
    kept.append(b"x" * megabytes * 2**20)
    return {"pid": os.getpid()}


def fill(context: StepContext, where, megabytes):
    """Writes file after file, and waits."""
    place = context.work if where == "work" else Path(context.scratch.removeprefix("file://"))
    place.mkdir(parents=True, exist_ok=True)
    for number in range(megabytes):
        (place / str(number)).write_bytes(b"x" * 2**20)
    time.sleep(60)


def use_scratch(context: StepContext, fails):
    place = Path(context.scratch.removeprefix("file://"))
    place.mkdir(parents=True)
    (place / "kept").write_text("of use to the next")
    if fails:
        raise ValueError("no luck")
    return {"place": str(place)}


def write_here(text):
    """Writes to a relative path, and reads it when others have had time to do the same."""
    Path("out.txt").write_text(text)
    return {
        "text": Path("out.txt").read_text(),
        "there": sorted(os.listdir()),
        "place": os.getcwd(),
    }


def relative_model(text):
    Path("model.bin").write_text(text)
    return {"model": "model.bin"}


def disturb(what):
    """Changes the process."""
    import locale
    import logging
    import warnings

    changes = {
        "cwd": lambda: os.chdir("/"),
        "environ": lambda: os.environ.update(KAON_TEST_LEAK="1", HOME="/nowhere"),
        "unset": lambda: os.environ.pop("PATH"),
        "signal": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        "alarm": lambda: signal.alarm(1000),
        "stdout": sys.stdout.close,
        "stderr": lambda: setattr(sys, "stderr", None),
        "stdin": lambda: setattr(sys, "stdin", open("/dev/null")),  # noqa: SIM115
        "descriptor": lambda: os.dup2(os.open("/dev/null", os.O_WRONLY), 1),
        "closed": lambda: os.close(1),
        "umask": lambda: os.umask(0o777),
        "handler": lambda: logging.getLogger("of.a.step").addHandler(
            logging.StreamHandler(sys.stdout)
        ),
        "root": lambda: logging.basicConfig(level=logging.DEBUG, stream=sys.stdout),
        "filters": lambda: warnings.simplefilter("error"),
        "locale": lambda: locale.setlocale(locale.LC_ALL, "C"),
        "path": lambda: sys.path.insert(0, "/nowhere"),
        "recursion": lambda: sys.setrecursionlimit(99_999),
    }
    changes[what]()


def observe():
    """What a step finds in its process."""
    import locale
    import logging
    import warnings

    mask = os.umask(0)
    os.umask(mask)
    print("seen")
    loggers = [logging.getLogger(), logging.getLogger("of.a.step")]
    return {
        "state": repr(
            [
                # The supervisor's mark is another one in each process, and so is the name of the test.
                sorted(
                    item
                    for item in os.environ.items()
                    if item[0] not in ("KAON_SUPERVISED", "PYTEST_CURRENT_TEST")
                ),
                signal.getsignal(signal.SIGINT),
                signal.getitimer(signal.ITIMER_REAL)[0],
                [
                    getattr(sys, name) is getattr(sys, f"__{name}__")
                    for name in ("stdin", "stdout", "stderr")
                ],
                os.readlink("/proc/self/fd/1").partition(":")[0],
                mask,
                [len(logger.handlers) for logger in loggers],
                loggers[0].level,
                list(warnings.filters),
                locale.setlocale(locale.LC_ALL),
                sys.path,
                sys.getrecursionlimit(),
                os.listdir(),
            ]
        )
    }


def leave_child(path, how):
    """Ends while a process that it started still runs."""
    code = f"import os, time; open({path!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    if how == "child":
        subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    else:
        subprocess.run(["sh", "-c", '"$0" -c "$1" &', sys.executable, code], check=True)
    while not os.path.exists(path) or not Path(path).read_text():
        time.sleep(0.01)


def leave_thread(context: StepContext):
    import threading

    def late():
        while True:
            print("late", flush=True)
            context.metric("late", 1.0)
            time.sleep(0.001)

    threading.Thread(target=late, daemon=True).start()
    return {"pid": os.getpid()}


def fork_and(how):
    """Forks; the child ends as `how` says, and the step fails after that."""
    pid = os.fork()
    if pid == 0:
        if how == "exit":
            sys.exit(0)
        if how == "raise":
            raise KeyError("of the child")
        return
    _, status = os.waitpid(pid, 0)
    raise ValueError(f"the parent failed, the child ended with {os.waitstatus_to_exitcode(status)}")


def report_from_fork(context: StepContext):
    pid = os.fork()
    if pid == 0:
        try:
            context.metric("of the child", 1.0)
        finally:
            os._exit(3 if isinstance(sys.exc_info()[1], RuntimeError) else 0)
    return {"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}


def exit_with(text):
    sys.exit(text)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def raise_mute():
    raise Mute


class Dated:
    """As numpy's datetime64: a scalar whose plain form is no JSON."""

    ndim = 0

    def item(self):
        return datetime.date(2026, 1, 1)


def dated():
    return {"day": Dated()}


def connect():
    raise ConnectionRefusedError("nobody there")


def diverge(context: StepContext):
    for value in (float("nan"), float("inf"), float("-inf"), 1.0):
        context.metric("loss", value)


def give(value):
    return {"value": value}


def give_x(x):
    return {"value": x}


def succ_of(x):
    return {"value": x + 1}


def touch(x):
    Path(x).touch()
    return {"value": None}


def wait_for(path):
    while not Path(path).exists():
        time.sleep(0.01)
    return {"value": 1}


def serve_until_asked(context: StepContext, address, note=""):
    outputs = {"address": address}
    if note:
        outputs["file"] = context.artifact_path("file", ".txt")
        outputs["file"].write_text(note)
    context.serving(**outputs)
    assert context.wait_cancelled()


def serve_and_end(context: StepContext, address):
    context.serving(address=address)


def serve_the_wrong(context: StepContext, address):
    context.serving(other=address)
    context.wait_cancelled()


def serve_the_wrong_and_end(context: StepContext, address):
    context.serving(other=address)


def serve_nothing_declared(context: StepContext, address):
    context.serving(address=address)
    return {"address": address}
