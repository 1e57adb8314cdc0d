# SPDX-License-Identifier: BSD-3-Clause
"""The model of costs behind docs/scaling.md against the measurements that it was fitted to, and where it must lead."""

import dataclasses
import json
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import scaling  # noqa: E402

measurements = json.loads(scaling.MEASUREMENTS.read_text(encoding="utf-8"))
cluster = scaling.cluster(measurements)
FACTOR = 1.5
problem = scaling.large_problem(measurements, "tomography", 4096)


@pytest.mark.parametrize("what, measured, model", scaling.measured_points(measurements))
def test_the_model_is_within_a_factor_of_what_was_measured(what, measured, model):
    assert measured / FACTOR < model < measured * FACTOR


def test_what_a_network_of_no_limits_leaves_is_work_and_memory():
    free = dataclasses.replace(cluster, link=1e30, latency=0.0, message=0.0)
    slow = dataclasses.replace(cluster, link=1e6)
    for ranks in (64, 4096):
        work = scaling.work(free, problem, ranks, 32)
        assert work < scaling.adjoin(free, problem, ranks, 32) < scaling.adjoin(slow, problem, ranks, 32)


def test_slabs_save_the_vectors_of_all_ranks_but_send_as_much():
    for ranks in (2, 32, 4096):
        q = min(ranks, 32)
        both = [scaling.adjoin(cluster, problem, ranks, q, layout) for layout in scaling.LAYOUTS]
        passes = scaling.PASSES * problem.image / scaling.rate(cluster, q) * (1.0 - 1.0 / ranks)
        assert 0.7 * passes < both[0] - both[1] < 1.1 * passes


def test_one_rank_sends_nothing():
    alone = scaling.adjoin(cluster, problem, 1, 1)
    assert alone == scaling.deepinv(cluster, problem, 1, 1) == scaling.pylops_mpi(cluster, problem, 1, 1)
