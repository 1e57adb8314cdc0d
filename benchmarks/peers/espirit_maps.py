# SPDX-License-Identifier: BSD-3-Clause
"""ESPIRiT's maps and what SENSE makes of them, by adjoin and by BART's ecalib, on BART's phantom: espirit_maps.py prints a
table. bart must be on the path.

BART makes 30 steps of power iteration from the first coil for each pixel. Where the second eigenvalue is near the first
they do not suffice, and its maps are not the eigenvectors yet: with as many steps, ours are BART's.
"""

import subprocess
import tempfile

import torch

from adjoin.io import read_cfl
from adjoin.physics import MultiCoilMRI, espirit_maps

SIZE, COILS, CALIBRATION, STEPS = 128, 8, 24, 30
THRESHOLD = 0.001**0.5  # BART's, which is that of squares


def bart(*arguments):
    subprocess.run(["bart", *map(str, arguments)], check=True, capture_output=True)


def coils_of(file):
    return read_cfl(file).squeeze(2).permute(2, 1, 0).contiguous()


def main():
    folder = tempfile.mkdtemp()
    clean, kspace_file, maps_file = (f"{folder}/{name}" for name in ("clean", "k", "s"))
    bart("phantom", "-x", SIZE, "-k", "-s", COILS, clean)
    mask = torch.zeros(SIZE, 1)
    mask[::2] = 1
    mask[SIZE // 2 - CALIBRATION // 2 : SIZE // 2 + CALIBRATION // 2] = 1
    mask = mask.expand(SIZE, SIZE).contiguous()
    print(f"{'variance':>9} {'maps':>20} {'unexplained of the coils':>25} {'SENSE apart from BART':>22}")
    for variance in (0, 100):
        bart("noise", "-n", variance, clean, kspace_file)
        bart("ecalib", "-m1", f"-r{CALIBRATION}", kspace_file, maps_file)
        kspace, theirs = coils_of(kspace_file), coils_of(maps_file)
        seen = theirs.abs().sum(0) > 0
        shifted = torch.fft.ifftshift(coils_of(clean), dim=(1, 2))
        images = torch.fft.fftshift(torch.fft.ifft2(shifted, norm="ortho"), dim=(1, 2)) * seen

        def sense(maps, kspace=kspace):
            zero = torch.zeros(1, 1, SIZE, SIZE, dtype=torch.complex64)
            scan = MultiCoilMRI(mask, maps[None])
            return scan.prox_l2(zero, (mask * kspace)[None], 1e3, max_iter=100, tol=1e-7)[0, 0].abs()

        reference = sense(theirs)
        for name, maps in (
            ("BART", theirs),
            ("adjoin", espirit_maps(kspace, CALIBRATION, threshold=THRESHOLD)[0]),
            (f"adjoin, {STEPS} steps", espirit_maps(kspace, CALIBRATION, threshold=THRESHOLD, power_iterations=STEPS)[0]),
        ):
            rest = images - maps * (maps.conj() * images).sum(0)
            apart = (sense(maps) - reference).norm() / reference.norm()
            print(f"{variance:>9} {name:>20} {rest.norm() / images.norm():>25.4f} {apart:>22.1e}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
