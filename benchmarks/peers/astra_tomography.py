# SPDX-License-Identifier: BSD-3-Clause
"""Times the ASTRA toolbox's CPU projector "linear" (Joseph's method) on the workload of benchmarks/tomography.cpp.

Prints JSON: medians, in seconds. Run it with OMP_NUM_THREADS=1 to compare with one thread.
"""

import json
import sys
import time

import astra
import numpy as np

SIZE, REPETITIONS = 256, 31


def median_time(algorithm):
    times = []
    for _ in range(REPETITIONS + 2):
        start = time.perf_counter()
        astra.algorithm.run(algorithm)
        times.append(time.perf_counter() - start)
    return sorted(times[2:])[REPETITIONS // 2]


def main():
    volume_geometry = astra.create_vol_geom(SIZE, SIZE)
    angles = np.deg2rad(np.arange(-76.0, 77.0, 2.0))
    projection_geometry = astra.create_proj_geom("parallel", 1.0, SIZE, angles)
    projector = astra.create_projector("linear", projection_geometry, volume_geometry)
    image = np.random.default_rng(0).random((SIZE, SIZE), dtype=np.float32)
    sinogram = np.zeros((len(angles), SIZE), np.float32)
    image_id = astra.data2d.link("-vol", volume_geometry, image)
    sinogram_id = astra.data2d.link("-sino", projection_geometry, sinogram)

    def algorithm(kind, image_role):
        config = astra.astra_dict(kind)
        config.update({"ProjectorId": projector, "ProjectionDataId": sinogram_id, image_role: image_id})
        return astra.algorithm.create(config)

    figures = {
        "float.A": median_time(algorithm("FP", "VolumeDataId")),
        "float.A_adjoint": median_time(algorithm("BP", "ReconstructionDataId")),
    }
    json.dump(figures, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
