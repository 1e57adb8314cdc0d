# SPDX-License-Identifier: BSD-3-Clause
"""ISMRMRD files: every line is where it belongs, nothing else is read, and damaged files are errors."""

import pathlib
import shutil
import subprocess
import threading

import h5py
import ismrmrd
import mrd_files
import numpy
import pytest

from adjoin import InvalidArgument
from adjoin.io import MrdFile

random = numpy.random.default_rng(1)


def noise(*shape):
    return (random.standard_normal(shape) + 1j * random.standard_normal(shape)).astype(numpy.complex64)


def centred(transform, array, axes):
    return numpy.fft.fftshift(transform(numpy.fft.ifftshift(array, axes), axes=axes, norm="ortho"), axes)


def close(tensor, array, tolerance=1e-5):
    return tuple(tensor.shape) == array.shape and numpy.allclose(tensor.numpy(), array, atol=tolerance)


@pytest.mark.parametrize("size", [(16, 12), (5, 8, 10), (9, 7)])
def test_lines_of_the_grid_are_where_they_were_measured(tmp_path, size):
    kspace = noise(3, *size)
    whole = (1, *size)[-3:]
    mrd_files.write(tmp_path / "a.h5", mrd_files.header(whole), mrd_files.grid_lines(kspace))
    file = MrdFile(tmp_path / "a.h5")
    assert (file.trajectory, file.coils, file.slices, file.averages) == ("cartesian", 3, 1, 1)
    assert "ismrmrdHeader" in file.header and file.noise() is None and not file.has_calibration
    scan = file.read()
    assert close(scan.kspace, kspace) and close(scan.weights, numpy.ones(size))
    assert scan.trajectory is None and scan.image_size == list(size) == scan.shown_size
    assert close(file.read(coils=[0, 2]).kspace, kspace[[0, 2]])


def test_readout_oversampling_is_removed_and_what_is_shown_is_said(tmp_path):
    image = noise(2, 10, 16)
    kspace = centred(numpy.fft.fftn, image, (1, 2))
    mrd_files.write(tmp_path / "a.h5", mrd_files.header((1, 10, 16), (1, 6, 8), pixel=1.5), mrd_files.grid_lines(kspace))
    scan = MrdFile(tmp_path / "a.h5").read()
    assert close(scan.kspace, centred(numpy.fft.fftn, image[:, :, 4:12], (1, 2)))
    assert close(scan.weights, numpy.ones((10, 8)))
    assert (scan.image_size, scan.shown_size, scan.voxel_size) == ([10, 8], [6, 8], [1.5, 1.5, 1.5])


def test_partial_fourier_sampling_and_echoes(tmp_path):
    kspace = noise(2, 12, 16)
    # Lines 5 … 11, step 1 at the origin; samples 3 … 15, of which two are to be left out at either end.
    lines = [
        mrd_files.line(kspace[:, y, 3:], y - 5, centre=5, discard_pre=2, discard_post=2)
        for y in range(5, 12)
    ]
    mrd_files.write(tmp_path / "a.h5", mrd_files.header((1, 12, 16), (1, 12, 8), centre=(0, 1)), lines)
    scan = MrdFile(tmp_path / "a.h5").read()
    mask = numpy.zeros((12, 16))
    mask[5:, 5:14] = 1
    assert close(scan.kspace, kspace * mask) and close(scan.weights, mask)
    assert (scan.image_size, scan.shown_size) == ([12, 16], [12, 8])  # no transform of lines with edges


def test_averages_count_by_their_noise(tmp_path):
    parts = noise(4, 2, 4, 6)
    lines = [
        mrd_files.line(parts[average, :, y], y, counters={"average": average})
        for y in range(4)
        for average in range(4 if y == 2 else 1)
    ]
    mrd_files.write(tmp_path / "a.h5", mrd_files.header((1, 4, 6)), lines)
    file = MrdFile(tmp_path / "a.h5")
    scan = file.read()
    assert file.averages == 4
    assert close(scan.kspace[:, 2], parts[:, :, 2].mean(0)) and close(scan.kspace[:, 1], parts[0, :, 1])
    assert close(scan.weights[:, 0], numpy.array([0.5, 0.5, 1.0, 0.5]))


@pytest.mark.parametrize("name", ["slice", "contrast", "phase", "repetition", "set"])
def test_images_are_told_apart(tmp_path, name):
    kspace = noise(3, 2, 4, 6)
    lines = []
    for number in (2, 0, 1):
        lines += mrd_files.grid_lines(kspace[number], counters={name: number}, position=(number, 0, 5))
    mrd_files.write(tmp_path / "a.h5", mrd_files.header((1, 4, 6)), lines)
    file = MrdFile(tmp_path / "a.h5")
    assert getattr(file, name + "s") == 3
    for number in range(3):
        scan = file.read(**{name: number})
        assert close(scan.kspace, kspace[number]) and scan.position == [5.0, 0.0, number][::-1]
    with pytest.raises(InvalidArgument, match="no lines of"):
        file.read(**{name: 3})


def test_lines_that_are_no_image(tmp_path):
    kspace = noise(2, 4, 6)
    samples = noise(2, 30)
    lines = [mrd_files.line(samples[:, :10], flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]
    lines += [mrd_files.line(samples[:, 10:], flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]
    for flag in ("NAVIGATION_DATA", "PHASECORR_DATA", "HPFEEDBACK_DATA", "DUMMYSCAN_DATA", "RTFEEDBACK_DATA",
                 "SURFACECOILCORRECTIONSCAN_DATA", "PHASE_STABILIZATION_REFERENCE", "PHASE_STABILIZATION"):  # fmt: skip
        lines.append(mrd_files.line(noise(2, 6), flags=[getattr(ismrmrd, "ACQ_IS_" + flag)]))
    lines += mrd_files.grid_lines(kspace)
    lines[-1].set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    lines[-1].set_flag(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    lines[-1].set_flag(ismrmrd.ACQ_USER8)  # the highest bit
    other = noise(2, 6)
    lines.append(mrd_files.line(other, 1, flags=[ismrmrd.ACQ_IS_PARALLEL_CALIBRATION]))
    mrd_files.write(tmp_path / "a.h5", mrd_files.header((1, 4, 6)), lines)
    file = MrdFile(tmp_path / "a.h5")
    assert close(file.noise(), samples) and file.has_calibration
    assert close(file.read().kspace, kspace)
    calibration = file.read(calibration=True)
    assert close(calibration.weights[:, 0], numpy.array([0, 1, 0, 1]))
    assert close(calibration.kspace[:, 1], other) and close(calibration.kspace[:, 3], kspace[:, 3])


def test_lines_that_run_backwards_are_turned(tmp_path):
    kspace = noise(2, 4, 7)
    lines = [
        mrd_files.line(kspace[:, y, ::-1] if y % 2 else kspace[:, y], y, centre=3, discard_pre=1,
                       flags=[ismrmrd.ACQ_IS_REVERSE] if y % 2 else [])
        for y in range(4)
    ]  # fmt: skip
    mrd_files.write(tmp_path / "a.h5", mrd_files.header((1, 4, 7)), lines)
    kspace[:, ::2, 0] = 0
    kspace[:, 1::2, 6] = 0
    assert close(MrdFile(tmp_path / "a.h5").read().kspace, kspace)


@pytest.mark.parametrize("axes", [2, 3])
def test_trajectories(tmp_path, axes):
    samples = noise(2, 5, 9)
    places = random.uniform(-0.5, 0.5, (5, 9, 3)).astype(numpy.float32)  # (x, y, z or whatever else the file has)
    size = (1, 16, 20) if axes == 2 else (12, 16, 20)
    lines = [mrd_files.line(samples[:, i], trajectory=places[i], discard_pre=1, discard_post=3) for i in range(5)]
    mrd_files.write(tmp_path / "a.h5", mrd_files.header(size, trajectory="radial"), lines)
    file = MrdFile(tmp_path / "a.h5")
    scan = file.read(coils=[1])
    assert file.trajectory == "radial" and scan.weights is None and scan.image_size == list(size)[3 - axes :]
    assert close(scan.kspace, samples[1:, :, 1:6])
    assert close(scan.trajectory, places[:, 1:6, :axes][:, :, ::-1])


def bytes_read():
    """By this process."""
    return int(pathlib.Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


def test_samples_of_other_coils_are_not_read(tmp_path):
    coils, height, width = 16, 64, 128
    mrd_files.write(tmp_path / "a.h5", mrd_files.header((1, height, width)), mrd_files.grid_lines(noise(coils, height, width)))
    before = bytes_read()
    file = MrdFile(tmp_path / "a.h5")
    opening = bytes_read() - before
    of_a_coil = 8 * height * width
    assert opening < 0.1 * coils * of_a_coil
    for some in ([3], [0, 4, 8, 12], list(range(coils))):
        before = bytes_read()
        file.read(coils=some)
        assert len(some) * of_a_coil <= bytes_read() - before < (len(some) + 0.2) * of_a_coil


@pytest.mark.parametrize("version", ["earliest", "v110"])
@pytest.mark.parametrize("chunk", [None, 1, 5])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_every_way_that_hdf5_lays_lines_out(tmp_path, version, chunk, compression):
    kspace = noise(2, 7, 6)
    mrd_files.write(tmp_path / "a.h5", mrd_files.header((1, 7, 6)), mrd_files.grid_lines(kspace))
    with h5py.File(tmp_path / "a.h5") as old, h5py.File(tmp_path / "b.h5", "w", libver=version) as new:
        options = {} if chunk is None and compression is None else {"chunks": (chunk or 7,), "compression": compression}
        new.create_dataset("other/data", data=old["dataset/data"][:], dtype=old["dataset/data"].dtype, **options)
        new["other/xml"] = old["dataset/xml"][0].decode()
    assert close(MrdFile(tmp_path / "b.h5", group="other").read().kspace, kspace)


def test_threads_may_read_one_file(tmp_path):
    kspace = noise(8, 32, 32)
    mrd_files.write(tmp_path / "a.h5", mrd_files.header((1, 32, 32)), mrd_files.grid_lines(kspace))
    file = MrdFile(tmp_path / "a.h5")
    right = []

    def read(coil):
        for _ in range(10):
            right.append(close(file.read(coils=[coil]).kspace, kspace[coil : coil + 1]))

    threads = [threading.Thread(target=read, args=(coil,)) for coil in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(right) == 80 and all(right)


@pytest.mark.skipif(shutil.which("ismrmrd_generate_cartesian_shepp_logan") is None, reason="needs ismrmrd-tools")
def test_files_of_the_ismrmrd_library(tmp_path):
    command = ["ismrmrd_generate_cartesian_shepp_logan", "-m", "64", "-c", "4", "-a", "2", "-w", "16", "-n", "0", "-C"]
    subprocess.run([*command, "-o", "a.h5"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    file = MrdFile(tmp_path / "a.h5")
    scan = file.read()
    assert (file.coils, file.repetitions, scan.image_size) == (4, 2, [64, 64])
    assert file.noise().shape[0] == 4
    with h5py.File(tmp_path / "a.h5") as own:
        for entry in own["dataset/data"][:]:
            head = entry["head"]
            if head["flags"] in (1 << 18, 1 << 19) or head["idx"]["repetition"] != 0:
                continue
            data = entry["data"].view(numpy.complex64).reshape(4, 128)
            middle = centred(numpy.fft.ifftn, data, (1,))[:, 32:96]
            row = scan.kspace[:, int(head["idx"]["kspace_encode_step_1"])]
            if not head["flags"] & (1 << 19):
                assert close(row, centred(numpy.fft.fftn, middle, (1,)), 1e-3)


def good_lines():
    return mrd_files.grid_lines(noise(2, 8, 8))


def with_xml(old, new):
    return lambda path: mrd_files.write(path, mrd_files.header((1, 8, 8)).replace(old, new), good_lines())


def with_line(**fields):
    def write(path):
        lines = good_lines()
        counters = {"kspace_encode_step_1": 3} | fields.pop("counters", {})
        lines.append(mrd_files.line(noise(2, 8), counters=counters, **fields))
        mrd_files.write(path, mrd_files.header((1, 8, 8)), lines)

    return write


def with_records(change):
    """The file of good lines, whose records are changed in numpy."""

    def write(path):
        mrd_files.write(path, mrd_files.header((1, 8, 8)), good_lines())
        with h5py.File(path, "r+") as file:
            records = file["dataset/data"][:]
            file["dataset/data"][:] = change(records)

    return write


def set_head(name, value):
    def change(records):
        records["head"][name] = value
        return records

    return with_records(change)


def with_file(change):
    def write(path):
        mrd_files.write(path, mrd_files.header((1, 8, 8)), good_lines())
        with h5py.File(path, "r+") as file:
            change(file)

    return write


def with_bytes(change):
    def write(path):
        mrd_files.write(path, mrd_files.header((1, 8, 8)), good_lines())
        path.write_bytes(change(path.read_bytes()))

    return write


def no_lines(file):
    file["dataset/data"].resize((0,))


def unwritten(file):
    file["dataset/data"].resize((1000,))


def numbers_for_lines(file):
    del file["dataset/data"]
    file["dataset/data"] = numpy.zeros(5, numpy.float32)


def two_axes(file):
    records = file["dataset/data"][:].reshape(2, 4)
    del file["dataset/data"]
    file["dataset"].create_dataset("data", data=records)


def number_for_header(file):
    del file["dataset/xml"]
    file["dataset/xml"] = 5.0


def other_axes(path):
    lines = [mrd_files.line(noise(2, 8), i, trajectory=numpy.zeros((8, 1 if i == 3 else 2))) for i in range(8)]
    mrd_files.write(path, mrd_files.header((1, 8, 8), trajectory="spiral"), lines)


def other_lengths(path):
    lines = [mrd_files.line(noise(2, n), trajectory=numpy.zeros((n, 2))) for n in (8, 7)]
    mrd_files.write(path, mrd_files.header((1, 8, 8), trajectory="spiral"), lines)


BROKEN = {
    "empty": (lambda path: path.write_bytes(b""), "is no HDF5 file"),
    "text": (lambda path: path.write_text("k-space" * 100), "is no HDF5 file"),
    "signature alone": (with_bytes(lambda b: b[:100]), "damaged|cut short|no HDF5"),
    "a tenth": (with_bytes(lambda b: b[: len(b) // 10]), "damaged|cut short"),
    "half": (with_bytes(lambda b: b[: len(b) // 2]), "damaged|cut short"),
    "all but 9 bytes in 10": (with_bytes(lambda b: b[: len(b) * 9 // 10]), "damaged|cut short"),
    "zeros in the middle": (with_bytes(lambda b: b[:3000] + bytes(6000) + b[9000:]), "damaged|no object|never written"),
    "heaps of nothing": (with_bytes(lambda b: b.replace(b"GCOL", b"GONE")), "GCOL"),
    "no trees": (with_bytes(lambda b: b.replace(b"TREE", b"GONE")), "TREE"),
    "no group": (with_file(lambda f: f.move("dataset", "data")), "no object 'dataset'"),
    "no header": (with_file(lambda f: f.__delitem__("dataset/xml")), "no object 'xml'"),
    "no data": (with_file(lambda f: f.__delitem__("dataset/data")), "no object 'data'"),
    "no lines": (with_file(no_lines), "has no lines"),
    "lines never written": (with_file(unwritten), "never written|lines"),
    "numbers for lines": (with_file(numbers_for_lines), "has no '|must have"),
    "lines of two axes": (with_file(two_axes), "one axis"),
    "number for the header": (with_file(number_for_header), "must be a text"),
    "empty header": (lambda path: mrd_files.write(path, "", good_lines()), "no XML"),
    "header cut short": (lambda path: mrd_files.write(path, mrd_files.header((1, 8, 8))[:400], good_lines()), "XML"),
    "header of another format": (with_xml("ismrmrdHeader", "raw"), "ismrmrdHeader"),
    "elements that do not end": (with_xml("</encodedSpace>", ""), "has no end"),
    "elements in elements": (with_xml("<encoding>", "<a>" * 9999 + "<encoding>"), "nested too deeply"),
    "no encoding": (with_xml("encoding>", "coding>"), "no <encoding>"),
    "no size": (with_xml("matrixSize", "size"), "no <matrixSize>"),
    "no trajectory": (with_xml("trajectory>", "path>"), "no <trajectory>"),
    "size in words": (with_xml("<y>8</y>", "<y>eight</y>"), "no sensible number in <y>"),
    "size of zero": (with_xml("<x>8</x>", "<x>0</x>"), "no sensible number in <x>"),
    "size of a planet": (with_xml("<x>8</x><", "<x>99999999999</x><"), "no sensible number in <x>"),
    "claims much": (with_xml("<z>1</z><y>8</y>", "<z>9000</z><y>9000</y>"), "claims k-space of 9000"),
    "claims 2^48": (with_xml("<z>1</z><y>8</y><x>8</x>", "<z>65535</z><y>65535</y><x>65535</x>"), "claims k-space"),
    "echo-planar": (with_xml("cartesian", "epi"), "echo-planar"),
    "spokes without places": (with_xml("cartesian", "radial"), "trajectory of 0 coordinates"),
    "step beyond": (with_line(counters={"kspace_encode_step_1": 8}), "beyond its k-space"),
    "partition beyond": (with_line(counters={"kspace_encode_step_2": 1}), "beyond its k-space"),
    "centre elsewhere": (with_line(centre=1), "beyond its k-space"),
    "centre in another line": (with_line(centre=60000), "beyond its k-space"),
    "all is left out": (with_line(discard_pre=5, discard_post=5), "should be left out"),
    "other coils": (lambda path: mrd_files.write(
        path, mrd_files.header((1, 8, 8)), [*good_lines(), mrd_files.line(noise(3, 8))]), "lines of 3 coils"),
    "noise of other coils": (lambda path: mrd_files.write(
        path, mrd_files.header((1, 8, 8)),
        [*good_lines(), mrd_files.line(noise(3, 8), flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]), "noise of 3 coils"),
    "compressed lines": (with_line(flags=[ismrmrd.ACQ_COMPRESSION2]), "compressed lines"),
    "noise alone": (set_head("flags", 1 << 18), "no lines of images"),
    "unknown encoding": (set_head("encoding_space_ref", 3), "encoding 3"),
    "more samples than data": (set_head("number_of_samples", 9), "32 numbers in place of 36"),
    "65535 samples": (set_head("number_of_samples", 65535), "in place of 262140"),
    "no coils": (set_head("active_channels", 0), "in place of 0"),
    "places that are not there": (set_head("trajectory_dimensions", 3), "coordinates of its trajectory"),
    "trajectories of unlike axes": (other_axes, "trajectory of 1 coordinates"),
    "spokes of unlike length": (other_lengths, "lines of 7 samples beside those of 8"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(tmp_path, name):
    write, words = BROKEN[name]
    write(tmp_path / "a.h5")
    with pytest.raises(InvalidArgument, match=words) as caught:
        file = MrdFile(tmp_path / "a.h5")
        file.read()
        file.noise()
    assert "a.h5" in str(caught.value)


def test_missing_files_and_coils(tmp_path):
    with pytest.raises(InvalidArgument, match="none.h5"):
        MrdFile(tmp_path / "none.h5")
    with pytest.raises(InvalidArgument, match="no file"):
        MrdFile(tmp_path)
    mrd_files.write(tmp_path / "a.h5", mrd_files.header((1, 8, 8)), good_lines())
    file = MrdFile(tmp_path / "a.h5")
    for coils in ([2], [-1], [1, 0], [0, 0]):
        with pytest.raises(InvalidArgument, match="coils must be ascending numbers from 0 to 1"):
            file.read(coils=coils)
    with pytest.raises(InvalidArgument, match="no calibration lines"):
        file.read(calibration=True)
