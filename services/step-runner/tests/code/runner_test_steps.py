"""Steps that the runner's tests execute."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from kaon.step import Artifact, StepContext


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
