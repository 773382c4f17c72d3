"""``track-many --ray``: the same results over actors, whatever becomes of workers, nodes and the network."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from .command_line import COMMAND, assert_one_line_error
from .many_videos import (
    assert_same,
    busy_parts,
    descendants,
    index_of,
    running,
    track_each,
    wait_for,
    write_video,
    writer_of,
)

pytest.importorskip("ray", reason="needs the ray extra")
pytestmark = pytest.mark.slow

STORE_BYTES = 100 * 2**20


@pytest.fixture(scope="module", autouse=True)
def _own_home(tmp_path_factory):
    """A home with a token of its own: tests touch no token of the user, and no cluster of others."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield


@pytest.fixture(scope="module")
def videos(still_model, tmp_path_factory) -> tuple[Path, Path]:
    """Three videos and one that is none, and what ``track`` makes of them."""
    folder = tmp_path_factory.mktemp("ray") / "videos"
    for number in range(3):
        write_video(folder / f"{number}.mp4", 120, number)
    (folder / "text.mp4").write_text("not a video\n" * 50)
    output = tmp_path_factory.mktemp("expected")
    track_each(folder, still_model, output)
    return folder, output


@contextmanager
def head(cpus: int, token: str) -> Iterator[str]:
    """Start the head of a cluster on a port of its own; yields its address."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    (Path.home() / ".ray").mkdir(exist_ok=True)
    (Path.home() / ".ray" / "auth_token").write_text(token)
    command = (
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}",
        f"--num-cpus={cpus}", "--include-dashboard=false", f"--object-store-memory={STORE_BYTES}",
        "--disable-usage-stats",
    )  # fmt: skip
    environment = os.environ | {"RAY_AUTH_MODE": "token"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"--address='?([\d.]+:\d+)", line):
                yield found[1]
                return
        raise AssertionError(f"the head has not started: {process.wait()}")
    finally:
        children = [pid for pid, _ in descendants(process.pid)]
        process.kill()
        process.wait()
        for pid in filter(lambda pid: Path(f"/proc/{pid}").exists(), children):
            os.kill(pid, signal.SIGKILL)
        process.stdout.close()


def test_a_killed_actor_and_a_broken_video_on_a_ray_of_its_own(videos, still_model, tmp_path):
    folder, expected = videos
    output = tmp_path / "out"
    command = (folder, "-m", still_model, "-o", output, "--workers", "2", "--ray")
    with running(*command) as process:
        wait_for(lambda: len(busy_parts(output)) == 2, process)
        actor = writer_of(busy_parts(output)[0], process.pid)
        environment = Path(f"/proc/{actor}/environ").read_bytes()
        os.kill(actor, signal.SIGKILL)
        shown, errors = process.communicate(timeout=400)
    assert b"RAY_USAGE_STATS_ENABLED=0" in environment
    assert b"RAY_AUTH_MODE=token" in environment
    assert (Path.home() / ".ray" / "auth_token").exists()
    assert process.returncode == 1
    assert [line for line in errors.splitlines() if "text.mp4 is a text file" not in line] == []
    assert shown.split()[:2] == ["done", "3"]  # nothing of Ray's own is between the results
    assert assert_same(output, expected) == 9
    index = index_of(output)
    assert sorted(record["tries"] for record in index.values()) == [1, 1, 1, 2]
    assert index["text"]["state"] == "failed"


def test_a_lost_node_costs_the_videos_it_had_at_work(videos, still_model, tmp_path):
    from ray.cluster_utils import Cluster

    folder, expected = videos
    output = tmp_path / "out"
    os.environ["RAY_AUTH_MODE"] = "disabled"  # of cluster_utils
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": STORE_BYTES},
    )
    try:
        node = cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        with running(folder, "-m", still_model, "-o", output, "--ray", cluster.address) as process:
            wait_for(lambda: busy_parts(output), process)
            # Both are at work when the node goes, however fast they are: each waits from its first frames on.
            stopped = [writer_of(busy_parts(output)[0], os.getpid())]
            os.kill(stopped[0], signal.SIGSTOP)
            wait_for(lambda: len(busy_parts(output)) == 2, process)
            stopped += {writer_of(part, os.getpid()) for part in busy_parts(output)} - {*stopped, 0}
            os.kill(stopped[-1], signal.SIGSTOP)
            cluster.remove_node(node, allow_graceful=False)
            for worker in stopped:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGCONT)
            shown, _ = process.communicate(timeout=400)
    finally:
        cluster.shutdown()
        del os.environ["RAY_AUTH_MODE"]
    assert process.returncode == 1  # for the text file
    assert shown.split()[:2] == ["done", "3"]
    assert assert_same(output, expected) == 9
    assert sorted(record["tries"] for record in index_of(output).values()) == [1, 1, 1, 2]


def test_a_cluster_is_joined_with_its_token_only_and_only_where_it_is_named(videos, still_model, tmp_path):
    folder, expected = videos
    token = secrets.token_hex(32)
    with head(1, token) as address:
        many = [*COMMAND, "track-many", folder, "-m", still_model, "--workers", "1", "-o"]

        def track(output: Path, *options: str) -> subprocess.CompletedProcess[str]:
            command = [*map(str, many), str(output), *options]
            return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)

        # The videos and the results travel; nothing is read from or written to a path.
        done = track(tmp_path / "out", "--ray", address, "--upload")
        assert done.stdout.split()[:2] == ["done", "3"], done.stderr
        assert assert_same(tmp_path / "out", expected) == 9

        # The cluster that is here is not joined by a command that names none.
        with running(folder, "-m", still_model, "-o", tmp_path / "own", "--workers", "1", "--ray") as process:
            wait_for(lambda: any("raylet" in command for _, command in descendants(process.pid)), process)

        (Path.home() / ".ray" / "auth_token").write_text(secrets.token_hex(32))
        started_s = time.monotonic()
        refused = track(tmp_path / "refused", "--ray", address)
        assert_one_line_error(refused, "Authentication token is missing or incorrect", "auth_token")
        assert time.monotonic() - started_s < 60
        assert {record["state"] for record in index_of(tmp_path / "refused").values()} == {"waiting"}
