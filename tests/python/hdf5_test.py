# SPDX-License-Identifier: BSD-3-Clause
"""HDF5 files as h5py writes them: every kind of file, index, filter and type gives what was written."""

import itertools

import numpy
import pytest
import torch

from adjoin import InvalidArgument
from adjoin.io import read_hdf5

h5py = pytest.importorskip("h5py")

# Up to that of the HDF5 library which reads trusted files.
VERSIONS = ["earliest", "v108", "v110"]


def values(shape, dtype="f4"):
    return (numpy.arange(numpy.prod(shape, dtype=int)).reshape(shape) % 113).astype(dtype)


def check(path, name, expected, trusted=(False, True)):
    for way in trusted:
        read = read_hdf5(path, name, trusted=way)
        assert read.shape == expected.shape and torch.equal(read, torch.from_numpy(expected).to(read.dtype)), (name, way)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_layout_and_index_of_chunks(tmp_path, version):
    path = tmp_path / "a.h5"
    endless = {"none": None, "first": (None, 40), "second": (40, None), "both": (None, None), "far": (400, 1000)}
    filters = [
        {},
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True},
        {"shuffle": True, "fletcher32": True, "compression": "gzip"},
        {"fletcher32": True},
    ]
    written = {}
    with h5py.File(path, "w", libver=version) as file:
        written["contiguous"] = file["contiguous"] = values((7, 5))
        for (most, chunks), (i, options) in itertools.product(
            itertools.product(endless, [(4, 3), (1, 1), (40, 40)]), enumerate(filters)
        ):
            name = f"{most}-{chunks}-{i}"
            array = values((33, 31))
            bounds = endless[most] or array.shape
            fitting = [c if bound is None else min(c, size) for c, bound, size in zip(chunks, bounds, array.shape, strict=True)]
            file.create_dataset(name, data=array, chunks=tuple(fitting), maxshape=endless[most], **options)
            written[name] = array
    for name, array in written.items():
        check(path, name, array)


@pytest.mark.parametrize("version", VERSIONS)
def test_many_chunks_and_axes(tmp_path, version):
    with h5py.File(tmp_path / "a.h5", "w", libver=version) as file:
        file.create_dataset("line", data=values(30_000), chunks=(1,), maxshape=(None,))
        file.create_dataset("fixed", data=values(5_000), chunks=(1,))
        file.create_dataset("plane", data=values((130, 90)), chunks=(1, 1), maxshape=(None, None))
        file.create_dataset("packed", data=values(3_000), chunks=(1,), maxshape=(None,), compression="gzip")
        file.create_dataset("five", data=values((3, 4, 5, 6, 7)), chunks=(2, 3, 2, 5, 3), maxshape=(3, 4, 9, None, 7))
    for name, shape in {"line": 30_000, "fixed": 5_000, "plane": (130, 90), "packed": 3_000, "five": (3, 4, 5, 6, 7)}.items():
        check(tmp_path / "a.h5", name, values(shape))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_type(tmp_path, version):
    path = tmp_path / "a.h5"
    types = [order + kind for order in "<>" for kind in ("i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16").split()] + ["?"]
    with h5py.File(path, "w", libver=version) as file:
        for dtype in types:
            file[dtype] = values((4, 5), dtype) if dtype[-1] != "?" else values((4, 5)) % 2 == 0
            file.create_dataset("chunks" + dtype, data=file[dtype][()], chunks=(3, 2))
            file["scalar" + dtype] = file[dtype][1, 1]
    with h5py.File(path) as file:
        stored = {name: numpy.asarray(file[name][()]) for name in file}
    for name, array in stored.items():
        check(path, name, array.astype(array.dtype.newbyteorder("=")))
    assert read_hdf5(path, "?").dtype is torch.bool
    assert read_hdf5(path, ">c8").dtype is torch.complex64
    assert [read_hdf5(path, "<" + t).dtype for t in ("u2", "u4", "u8", "f2")] == [
        torch.int32,
        torch.int64,
        torch.int64,
        torch.float32,
    ]


def test_unsigned_numbers_beyond_int64_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = numpy.array([2**63], "u8")
    with pytest.raises(InvalidArgument, match="int64"):
        read_hdf5(tmp_path / "a.h5", "x")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("track_order", [False, True])
def test_names_lead_through_groups_and_soft_links(tmp_path, version, track_order):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=version, track_order=track_order) as file:
        for i in range(300):
            file.create_group(f"group {i}", track_order=track_order)
        deep = file.create_group("a/b/c/d", track_order=track_order)
        for i in range(60):
            deep[f"x{i:02}" + "y" * (i * 5)] = values((i + 1,))
        file["hard"] = deep["x41" + "y" * 205]
        file["soft"] = h5py.SoftLink("/a/b/c/d/x10" + "y" * 50)
        file["a/relative"] = h5py.SoftLink("b/c/d/x00")
        file["chain"] = h5py.SoftLink("soft")
        file["circle"] = h5py.SoftLink("circle")
        file["group 7/data"] = values((2, 3))
        file["type"] = numpy.dtype("f8")
        file.create_dataset("committed", data=values(9, "f8"), dtype=file["type"])
        for i in range(40):
            file["hard"].attrs[f"attribute {i}"] = "x" * 200
    for i in range(60):
        check(path, f"a/b/c/d/x{i:02}" + "y" * (i * 5), values((i + 1,)))
    check(path, "/hard", values(42))
    check(path, "soft", values(11))
    check(path, "//a/./relative", values(1))
    check(path, "chain", values(11))
    check(path, "group 7/data", values((2, 3)))
    check(path, "committed", values(9, "f8"))
    for name in ("circle", "a/b/none", "a/b", "/", "type"):
        with pytest.raises(InvalidArgument):
            read_hdf5(path, name)


@pytest.mark.parametrize("version", VERSIONS)
def test_values_that_were_never_written(tmp_path, version):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=version) as file:
        file.create_dataset("zeros", (5, 4), "f4")
        file.create_dataset("sevens", (5, 4), ">i2", fillvalue=7)
        part = file.create_dataset("part", (50, 4), "f4", chunks=(3, 4), fillvalue=0.5)
        part[6:12] = 2.0
        grown = file.create_dataset("grown", data=values((10, 10)), chunks=(4, 4), maxshape=(None, None), fillvalue=3.0)
        grown.resize((7, 17))
        file.create_dataset("empty", (3, 0, 2), "f8")
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((2, 2))
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((6, 6))
        h5py.h5d.create(file.id, b"undefined", h5py.h5t.NATIVE_FLOAT, space, plist)
        file.create_dataset("huge", (1 << 20, 1 << 20), "f4", chunks=(64, 64))
    with h5py.File(path) as file:
        for name in ("zeros", "sevens", "part", "grown", "empty"):
            array = file[name][()]
            check(path, name, array.astype(array.dtype.newbyteorder("=")))
    with pytest.raises(InvalidArgument, match="never written"):
        read_hdf5(path, "undefined")
    with pytest.raises(InvalidArgument, match="more values than the file holds"):
        read_hdf5(path, "huge")


def test_what_is_not_in_the_file_is_read_when_trusted(tmp_path):
    path = tmp_path / "a.h5"
    numpy.arange(8.0).tofile(tmp_path / "other.bin")
    with h5py.File(tmp_path / "second.h5", "w") as second:
        second["x"] = values(4)
    with h5py.File(path, "w") as file:
        file.create_dataset("external", (8,), "f8", external=[(str(tmp_path / "other.bin"), 0, 64)])
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "second.h5"), "x", (4,))
        file.create_virtual_dataset("virtual", layout)
        file["link"] = h5py.ExternalLink(str(tmp_path / "second.h5"), "/x")
        file["soft"] = h5py.SoftLink("link")
        file.create_dataset("lossy", data=values((20, 20), "i4"), chunks=(5, 5), scaleoffset=0)
    for name, expected in {
        "external": numpy.arange(8.0),
        "virtual": values(4),
        "link": values(4),
        "soft": values(4),
        "lossy": values((20, 20), "i4"),
    }.items():
        with pytest.raises(InvalidArgument, match="trusted"):
            read_hdf5(path, name)
        check(path, name, expected, trusted=(True,))


def test_what_no_tensor_has_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["empty"] = h5py.Empty("f8")
        file["text"] = "text"
        file["texts"] = ["a", "b"]
        file["pairs"] = numpy.zeros(3, [("x", "f4"), ("y", "f4")])
        file["vectors"] = numpy.zeros(3, "(2,)f4")
        file["quad"] = numpy.zeros(3, "f16")
    for name in ("empty", "text", "texts", "pairs", "quad"):
        for trusted in (False, True):
            with pytest.raises(InvalidArgument):
                read_hdf5(path, name, trusted=trusted)


@pytest.mark.parametrize("version", VERSIONS)
def test_files_with_a_block_of_the_users(tmp_path, version):
    with h5py.File(tmp_path / "a.h5", "w", libver=version, userblock_size=2048) as file:
        file["x"] = values((3, 4))
        file.create_dataset("y", data=values((30, 40)), compression="gzip", chunks=(7, 9), maxshape=(None, 40))
    check(tmp_path / "a.h5", "x", values((3, 4)))
    check(tmp_path / "a.h5", "y", values((30, 40)))
