#!/usr/bin/env python3
"""Serve one model folder with vLLM on this machine, and leave no process behind.

Run it with the Python of the virtual environment that install.sh made:

    VENV/bin/python serve.py MODEL_DIR --port 8101 --name tiny

One line, `ready URL ...`, goes to stdout when the server answers; everything vLLM says goes to
stderr. Flags that are not listed by --help are handed to vLLM and override the ones chosen here.
"""

import argparse
import ctypes
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

# Without these, vLLM and transformers look for the model hub at every start, and report usage.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
}
KV_CACHE_GIB = {"VLLM_CPU_KVCACHE_SPACE": "1"}  # Whole numbers only; vLLM's own default is larger.

COMMON_FLAGS = ["--dtype", "float32", "--max-model-len", "2048", "--enforce-eager"]
CHAT_FLAGS = [
    *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
    *("--scheduling-policy", "priority"),
    "--enable-prompt-tokens-details",
    # xgrammar, because guidance refuses forced tool calls; no free whitespace, because a weak
    # model under a JSON grammar otherwise writes blanks until it runs out of tokens.
    "--structured-outputs-config",
    '{"backend": "xgrammar", "disable_any_whitespace": true}',
]
EMBED_FLAGS = ["--runner", "pooling", "--convert", "embed"]

POLL_S = 0.25
KILL_S = 5.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

LIBC = ctypes.CDLL(None)  # Loaded here, because between fork and exec it would not be safe.


def main() -> None:
    options, extra = parse(sys.argv[1:])
    for signum in STOP_SIGNALS:
        signal.signal(signum, leave)
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)  # Orphans of a killed API process become ours to reap.
    started = time.monotonic()
    server = subprocess.Popen(
        command(options, extra),
        env=KV_CACHE_GIB | os.environ | OFFLINE,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        process_group=0,
        preexec_fn=end_with_parent,
    )
    try:
        wait_until_healthy(server, options.host, options.port, start_s=options.start_s)
        url = f"http://{options.host}:{options.port}/v1"
        took_s = time.monotonic() - started
        print(f"ready {url} model={options.name} after {took_s:.1f} s", flush=True)
        sys.exit(f"serve.py: vLLM ended by itself with status {server.wait()}")
    finally:
        end_group(server.pid, stop_s=options.stop_s)


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=summary, allow_abbrev=False)
    parser.add_argument("model", type=pathlib.Path, help="folder with config.json and weights")
    parser.add_argument("--name", help="the model's name on the wire (default: the folder's)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8101)
    parser.add_argument("--embed", action="store_true", help="serve /v1/embeddings, not chat")
    parser.add_argument("--start-s", type=float, default=300, help="give up on a start after this")
    parser.add_argument("--stop-s", type=float, default=10, help="kill what still runs after this")
    options, extra = parser.parse_known_args(arguments)
    if not (options.model / "config.json").is_file():
        parser.error(f"{options.model} is not a model folder: it has no config.json")
    if not port_is_free(options.host, options.port):
        parser.error(f"port {options.port} of {options.host} is taken; choose another with --port")
    options.name = options.name or options.model.resolve().name
    return options, extra


def port_is_free(host: str, port: int) -> bool:
    """Ask before the start: another server's /health would pass for ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def command(options: argparse.Namespace, extra: list[str]) -> list[str]:
    vllm = pathlib.Path(sys.executable).with_name("vllm")
    if not vllm.exists():
        sys.exit(f"serve.py: no {vllm}; run this with the Python of install.sh's environment")
    place = ["--host", options.host, "--port", str(options.port)]
    flags = EMBED_FLAGS if options.embed else CHAT_FLAGS
    model = ["serve", str(options.model), "--served-model-name", options.name]
    return [str(vllm), *model, *place, *COMMON_FLAGS, *flags, *extra]


def end_with_parent() -> None:
    """In the child: be asked to stop when serve.py dies without a chance to say so."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def leave(_signum: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def wait_until_healthy(
    server: subprocess.Popen[bytes], host: str, port: int, *, start_s: float
) -> None:
    deadline = time.monotonic() + start_s
    while not is_healthy(host, port):
        if (status := server.poll()) is not None:
            sys.exit(f"serve.py: vLLM ended before it was ready, with status {status}")
        if time.monotonic() > deadline:
            sys.exit(f"serve.py: not healthy after {start_s:.0f} s; allow more with --start-s")
        time.sleep(POLL_S)


def is_healthy(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def end_group(group: int, *, stop_s: float) -> None:
    """Stop the API process, the engine and its workers: first politely, then not."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)  # A second Ctrl-C must not leave the engine alive.
    for signum, patience_s in ((signal.SIGTERM, stop_s), (signal.SIGKILL, KILL_S)):
        if not group_lives(group):
            return
        os.killpg(group, signum)
        deadline = time.monotonic() + patience_s
        while group_lives(group) and time.monotonic() < deadline:
            time.sleep(POLL_S)


def group_lives(group: int) -> bool:
    """Reap what has ended in the group, and say whether anything is left in it."""
    try:
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()
