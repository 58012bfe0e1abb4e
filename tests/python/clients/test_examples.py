"""The examples of the repository, run as they stand, while the server is killed again and again."""

import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import pytest
from conftest import numbers, unique

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples"
TOKENS = 300


def python(_):
    return [sys.executable, str(EXAMPLES / "resume.py")]


def node(folder):
    """Node looks for packages beside the file that asks for them."""
    packages = pathlib.Path(os.environ["WAYPOST_TEST_NODE_FOLDER"]) / "node_modules"
    (folder / "node_modules").symlink_to(packages, target_is_directory=True)
    return [os.environ["WAYPOST_TEST_NODE_BIN"], shutil.copy(EXAMPLES / "resume.mjs", folder)]


LANGUAGES = [python, node]


@pytest.fixture
def example(house, key, tmp_path):
    """Starts an example with a model that answers by a script."""
    running = []

    def start(language, script):
        model = f"scripted?key={unique()}&{script}"
        env = {**os.environ, "OPENAI_BASE_URL": house.base_url, "OPENAI_API_KEY": key}
        child = subprocess.Popen(
            [*language(tmp_path), model, "Count."],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(child)
        return child

    yield start
    for child in running:
        if child.poll() is None:
            child.kill()
            child.wait()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_stream_survives_kills_at_any_point(house, example, language):
    chance = random.Random(7)
    address = house.waypost.url.removeprefix("http://")
    child = example(language, f"tokens={TOKENS}&delay_ms=10")
    kills = 0
    while child.poll() is None and kills < 4:
        # From before the request is sent to well inside the answer.
        time.sleep(chance.uniform(0.1, 1.5))
        house.waypost.kill()
        time.sleep(chance.uniform(0, 0.5))
        house.waypost.start("--listen", address)
        kills += 1
    out, err = child.communicate(timeout=40)
    assert child.returncode == 0, err
    assert out == numbers(TOKENS) + "\n", err
    assert kills > 2 and "trying again" in err


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_failure_is_shown(example, language):
    child = example(language, "status=400")
    out, err = child.communicate(timeout=40)
    assert child.returncode == 1
    assert "is failed" in err


def blocks(language):
    text = (EXAMPLES.parent / "README.md").read_text()
    return [part.split("```", 1)[0] for part in text.split(f"```{language}\n")[1:]]


def run(house, key, command):
    env = {**os.environ, "OPENAI_BASE_URL": house.base_url, "OPENAI_API_KEY": key}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=40)


@pytest.mark.parametrize("script", ["tokens=40&delay_ms=5", "tokens=2", "status=400"])
def test_the_readmes_python_prints_what_it_does(house, key, script):
    (code,) = blocks("python")
    code = code.replace("your-model", f"scripted?key={unique()}&{script}")
    done = run(house, key, [sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    assert "created resp_" in done.stdout
    if script == "status=400":
        assert "failed" in done.stdout and "message=" in done.stdout
    else:
        assert done.stdout.endswith("completed \n")


@pytest.mark.parametrize("script", ["tokens=4", "status=400"])
def test_the_readmes_node_prints_what_it_does(house, key, tmp_path, script):
    (code,) = blocks("js")
    program, example = node(tmp_path)
    model = f"scripted?key={unique()}&{script}"
    pathlib.Path(example).write_text(code.replace("your-model", model))
    done = run(house, key, [program, example])
    if script == "status=400":
        assert done.returncode == 1 and "is failed: " in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert numbers(4) in done.stdout
