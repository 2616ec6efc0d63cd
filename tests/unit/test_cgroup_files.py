"""cgroup directories: where they are, what their files say, in trees recorded by others and in small ones of our own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.clock import ManualClock
from sidecar.collect.cgroup_files import (
    CgroupPaths,
    at,
    limits,
    locate,
    parse_cfs,
    parse_cpu_max,
    parse_memory_limit,
    parse_proc_cgroup,
)
from sidecar.collect.cgroup_reader import CgroupReader
from sidecar.model.records import Sample

ID = "ab" * 32
OWN_CASES = sorted(path.parent for path in (Path(__file__).parents[1] / "cases" / "cgroup").glob("*/case.json"))
Tree = Callable[[dict[str, str]], Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Writes files by their paths below a root."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


def sample_of(paths: CgroupPaths) -> Sample:
    reader = CgroupReader(paths, ID)
    try:
        return reader.sample("case", ManualClock())
    finally:
        reader.close()


# --- trees that others recorded -------------------------------------------------------------------------------------------------


def test_telegraf_v2(shared_cases: Path) -> None:
    paths = at(shared_cases / "cgroup" / "telegraf-v2", "/")
    assert paths is not None
    assert paths.version == 2
    sample = sample_of(paths)
    assert (sample.cpu_total_ns, sample.cpu_user_ns, sample.cpu_system_ns) == (
        98701325189_000,
        61355716211_000,
        37345608977_000,
    )
    assert (sample.throttled_periods, sample.throttled_ns) == (6004, 19175137007_000)
    assert sample.memory_usage_bytes == 13071106048
    assert sample.memory_bytes == 13071106048 - 2935459840, "without inactive_file"
    assert (limits(paths).cpus, limits(paths).memory_bytes) == (48.0, 103079215104)


def test_telegraf_v1_memory(shared_cases: Path) -> None:
    """Its README says that 9223372036854771712 is in it for "no limit"; that is memory.kmem.limit_in_bytes.

    memory.limit_in_bytes was edited by its author to 223372036854771712 (223 PB), which no kernel writes: no machine has that
    memory, so it limits nothing either.
    """
    folder = shared_cases / "cgroup" / "telegraf-v1-memory"
    paths = CgroupPaths(version=1, cpu_usage=folder, cpu=None, memory=folder)
    for name in ("memory.limit_in_bytes", "memory.kmem.limit_in_bytes"):
        assert parse_memory_limit((folder / name).read_text()) is None
    assert limits(paths).memory_bytes is None
    assert limits(paths).problems == ()
    with pytest.raises(ValueError, match="not a number"):
        parse_memory_limit((folder / "memory.empty").read_text())


def test_cadvisor_limits(shared_cases: Path) -> None:
    v1 = shared_cases / "cgroup" / "cadvisor" / "cgroup_v1" / "test1"
    found = limits(CgroupPaths(version=1, cpu_usage=v1 / "cpu", cpu=v1 / "cpu", memory=v1 / "memory"))
    assert (found.cpus, found.memory_bytes, found.problems) == (20000 / 100010, 123456789, ())
    for name, expected in (("test1", (20000 / 100010, 123456789)), ("test2", (None, None))):
        v2 = shared_cases / "cgroup" / "cadvisor" / "cgroup_v2" / name
        found = limits(CgroupPaths(version=2, cpu_usage=v2, cpu=v2, memory=v2))
        assert (found.cpus, found.memory_bytes, found.problems) == (*expected, ())


def test_automaxprocs_cpu_limits(shared_cases: Path) -> None:
    folder = shared_cases / "cgroup" / "automaxprocs-cpu-limits" / "cgroups"
    assert parse_cpu_max((folder / "v2" / "set").read_text()) == 2.5
    assert parse_cpu_max((folder / "v2" / "only-max").read_text()) == 5.0, "the default period is 100000 µs"
    assert parse_cpu_max((folder / "v2" / "unset").read_text()) is None
    for name in ("empty", "invalid-max", "invalid-period", "too-few-fields"):
        with pytest.raises(ValueError, match=r"cpu\.max is"):
            parse_cpu_max((folder / "v2" / name).read_text())
    for name, cpus, problems in (
        ("cpu", 6.0, 0),
        ("undefined", None, 0),
        ("undefined-period", None, 1),
        ("empty", None, 1),
        ("invalid", None, 1),
    ):
        found = limits(CgroupPaths(version=1, cpu_usage=folder / name, cpu=folder / name, memory=None))
        assert (found.cpus, len(found.problems)) == (cpus, problems), name


def test_automaxprocs_proc_files(shared_cases: Path) -> None:
    folder = shared_cases / "cgroup" / "automaxprocs-cpu-limits" / "proc"
    read = {path.parent.name + "/" + path.name: parse_proc_cgroup(path.read_text()) for path in folder.glob("*/cgroup*")}
    assert read == {
        "cgroups/cgroup": {"memory": "/docker/large", "cpu": "/docker", "cpuacct": "/docker", "cpuset": "/"},
        "invalid-cgroup/cgroup": {"cpu": "/cpu"},
        "v2/cgroup-invalid": {},
        "v2/cgroup-no-match": {},  # a hierarchy other than 0 without controllers is not v2
        "v2/cgroup-root": {"": "/"},
        "v2/cgroup-subdir": {"": "/Example"},
    }


def test_docker_v1_and_v2(shared_cases: Path) -> None:
    root = shared_cases / "cgroup" / "docker-v1-and-v2" / "sys" / "fs" / "cgroup"
    v1 = locate(root, "b29faf21b7eff959f64b4192c34d5d67a707fe8561e9eaa608cb27693fba4242")
    v2 = locate(root, "1c8fa019edd4b9d4b2856f4932c55929c5c118c808ed5faee9a135ca6e84b039")
    assert v1 is not None
    assert v2 is not None
    assert (v1.version, v2.version) == (1, 2)
    old, new = sample_of(v1), sample_of(v2)
    assert (old.cpu_total_ns, old.cpu_user_ns, old.cpu_system_ns) == (95996653175, 61950000000, 7730000000)
    assert (old.memory_bytes, old.memory_limit_bytes) == (295997440 - 40108032, None)
    assert (old.throttled_periods, old.throttled_ns) == (1046, 352597023453)
    assert (new.cpu_total_ns, new.cpu_user_ns) == (26772130245_000, 20979069928_000)
    assert (new.memory_bytes, new.memory_limit_bytes) == (9125888 - 270336, None)
    assert limits(v1).memory_bytes is limits(v2).cpus is None


def test_slurm_job_counts_its_steps_once(shared_cases: Path) -> None:
    """A parent counts its children; in this recording the step was read a little later, so its counter is the larger one."""
    root = shared_cases / "cgroup" / "slurm-job-v1-and-v2"
    job = at(root, {"": "/system.slice/slurmstepd.scope/job_4"})
    step = at(root, {"": "/system.slice/slurmstepd.scope/job_4/step_0"})
    assert job is not None
    assert step is not None
    assert sample_of(job).cpu_total_ns == 126686_000, "the job's own counter, nothing added"
    assert (sample_of(step).cpu_total_ns, sample_of(step).memory_limit_bytes) == (131721_000, None)
    assert sample_of(job).memory_limit_bytes == 1835008000
    v1 = at(root, {"cpuacct": "/slurm/uid_20821/job_10", "memory": "/slurm/uid_20821/job_10"})
    assert v1 is not None
    old = sample_of(v1)
    assert (old.cpu_total_ns, old.memory_usage_bytes, old.memory_bytes) == (7710215, 356352, 352256)
    assert old.memory_limit_bytes == 2147483648


def test_every_shared_tree_is_read_above(shared_cases: Path) -> None:
    assert {path.name for path in (shared_cases / "cgroup").iterdir()} == {
        "automaxprocs-cpu-limits",
        "cadvisor",
        "docker-v1-and-v2",
        "slurm-job-v1-and-v2",
        "telegraf-v1-memory",
        "telegraf-v2",
    }


# --- cases and small trees of our own ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", OWN_CASES, ids=lambda folder: folder.name)
def test_own_case(folder: Path) -> None:
    case = json.loads((folder / "case.json").read_text())
    paths = locate(folder / "root", case["container_id"], case.get("parent"))
    if case["sample"] is None:
        assert paths is None, case["why"]
        return
    assert paths is not None, case["why"]
    sample, limit = dataclasses.asdict(sample_of(paths)), limits(paths)
    assert {name: sample[name] for name in case["sample"]} == case["sample"], case["why"]
    assert (limit.cpus, len(limit.problems)) == (case["cpus"], case["problems"]), case["why"]


def test_there_are_own_cases() -> None:
    assert len(OWN_CASES) >= 4


@pytest.mark.parametrize(
    ("place", "parent"),
    [
        (f"docker/{ID}", None),
        (f"system.slice/docker-{ID}.scope", None),
        (f"xnat/{ID}", "/xnat"),
        (f"xnat.slice/xnat-prod.slice/docker-{ID}.scope", "xnat-prod.slice"),
        (f"user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope", None),
        (f"docker/{'ee' * 32}/docker/{ID}", None),
    ],
    ids=["cgroupfs", "systemd", "parent", "slice", "rootless", "engine-in-container"],
)
@pytest.mark.parametrize("version", [1, 2])
def test_a_container_is_found_wherever_its_driver_puts_it(tree: Tree, version: int, place: str, parent: str | None) -> None:
    if version == 1:
        root = tree(
            {
                f"cpu,cpuacct/{place}/cpuacct.usage": "123\n",
                f"cpu,cpuacct/{place}/cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 77\n",
                f"memory/{place}/memory.usage_in_bytes": "1000\n",
                f"memory/{place}/memory.stat": "inactive_file 1\ntotal_inactive_file 300\n",
            }
        )
    else:
        root = tree(
            {
                f"{place}/cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\n",
                f"{place}/memory.current": "1000\n",
                f"{place}/memory.stat": "anon 7\ninactive_file 300\n",
                f"{place}/memory.max": "2000\n",
                f"{place}/cpu.max": "max 100000\n",
            }
        )
    paths = locate(root, ID, parent)
    assert paths is not None
    sample = sample_of(paths)
    assert (sample.container_id, sample.source, sample.memory_bytes, sample.memory_usage_bytes) == (ID, "cgroup", 700, 1000)
    assert sample.cpu_total_ns == (123 if version == 1 else 5000)
    assert (sample.throttled_periods, sample.throttled_ns) == ((2, 77) if version == 1 else (None, None))
    assert sample.memory_limit_bytes == (None if version == 1 else 2000)


def test_a_container_of_another_machine_is_not_found(tree: Tree) -> None:
    root = tree({f"cpuacct/docker/{'cd' * 32}/cpuacct.usage": "1\n"})
    assert locate(root, ID) is None
    assert locate(root / "absent", ID) is None


def test_a_hybrid_machine_is_read_by_its_v1_controllers(tree: Tree) -> None:
    root = tree({f"cpuacct/docker/{ID}/cpuacct.usage": "7\n", f"unified/docker/{ID}/cpu.stat": "usage_usec 1\n"})
    paths = locate(root, ID)
    assert paths is not None
    assert (paths.version, paths.memory) == (1, None)
    assert sample_of(paths).memory_bytes is None, "no memory controller: unknown, not zero"


def test_a_path_out_of_the_tree_is_not_followed(tree: Tree) -> None:
    root = tree({"in/x": "", "out/cpu.stat": "usage_usec 1\n"})
    assert at(root / "in", {"": "/../out"}) is None


@pytest.mark.parametrize("text", ["max x", "max 100000 7", "100000 0", "-1 100000", "1.5 100000"])
def test_an_invalid_cpu_limit_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"cpu\.max is"):
        parse_cpu_max(text)


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_cpu_limits_of_both_versions_agree(quota: int, period: int) -> None:
    assert parse_cpu_max(f"{quota} {period}\n") == parse_cfs(f"{quota}\n", f"{period}\n") == quota / period
