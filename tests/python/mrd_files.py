# SPDX-License-Identifier: BSD-3-Clause
"""ISMRMRD files as scanners' converters write them, by the Python package ismrmrd."""

import ismrmrd
import numpy

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz></experimentalConditions>
  <encoding>
    <encodedSpace>{encoded}</encodedSpace>
    <reconSpace>{shown}</reconSpace>
    <encodingLimits>{limits}</encodingLimits>
    <trajectory>{trajectory}</trajectory>
  </encoding>
</ismrmrdHeader>
"""


def space(size, field):
    """Both (D, H, W)."""
    numbers = ["".join(f"<{axis}>{n}</{axis}>" for axis, n in zip("zyx", values)) for values in (size, field)]
    return f"<matrixSize>{numbers[0]}</matrixSize><fieldOfView_mm>{numbers[1]}</fieldOfView_mm>"


def header(size, shown=None, trajectory="cartesian", centre=None, pixel=1.0):
    """Sizes (D, H, W) of k-space and of what is shown of it; the steps (D, H) at the origin of k-space."""
    shown = shown or size
    limits = ""
    for step, value in zip((2, 1), centre or ()):
        name = f"kspace_encoding_step_{step}"
        limits += f"<{name}><minimum>0</minimum><maximum>99</maximum><center>{value}</center></{name}>"
    return HEADER.format(
        encoded=space(size, [n * pixel for n in size]),
        shown=space(shown, [n * pixel for n in shown]),
        limits=limits,
        trajectory=trajectory,
    )


def line(data, step=0, step_2=0, flags=(), trajectory=None, centre=None, counters=None, **head):
    """data (coils, samples); flags are ismrmrd's, counters those of its idx, head the other fields."""
    data = numpy.ascontiguousarray(data, numpy.complex64)
    where = None if trajectory is None else numpy.ascontiguousarray(trajectory, numpy.float32)
    acquisition = ismrmrd.Acquisition.from_array(data, where)
    acquisition.center_sample = data.shape[1] // 2 if centre is None else centre
    acquisition.idx.kspace_encode_step_1 = step
    acquisition.idx.kspace_encode_step_2 = step_2
    for name, value in (counters or {}).items():
        setattr(acquisition.idx, name, value)
    for name, value in head.items():
        setattr(acquisition, name, value)
    for flag in flags:
        acquisition.set_flag(flag)
    return acquisition


def write(path, xml, lines):
    file = ismrmrd.Dataset(str(path), mode="w")
    file.write_xml_header(xml)
    for one in lines:
        file.append_acquisition(one)
    file.close()


def grid_lines(kspace, **options):
    """The lines of k-space (coils, H, W) or (coils, D, H, W)."""
    if kspace.ndim == 3:
        kspace = kspace[:, None]
    _, depth, height, _ = kspace.shape
    return [line(kspace[:, z, y], y, z, **options) for z in range(depth) for y in range(height)]
