// SPDX-License-Identifier: BSD-3-Clause
// ISMRMRD files of a few lines to begin with.
#include "adjoin/io/mrd.hpp"

#include <hdf5.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "adjoin/core/errors.hpp"
#include "io/hdf5/file.hpp"
#include "target.hpp"

namespace adjoin::fuzz {

namespace {

/// A line as the ISMRMRD library writes it, without its counters, time stamps and the user's numbers.
struct Acquisition {
  std::uint64_t flags;
  std::uint16_t number_of_samples;
  std::uint16_t active_channels;
  std::uint16_t discard_pre;
  std::uint16_t discard_post;
  std::uint16_t center_sample;
  std::uint16_t encoding_space_ref;
  std::uint16_t trajectory_dimensions;
  std::array<std::array<float, 3>, 4> places;
  std::array<std::uint16_t, 8> counters;
  hvl_t trajectory;
  hvl_t data;
};

hid_t acquisition_type() {
  const hid_t floats = H5Tvlen_create(H5T_NATIVE_FLOAT);
  constexpr hsize_t three = 3;
  const hid_t vector = H5Tarray_create2(H5T_NATIVE_FLOAT, 1, &three);
  const hid_t counters = H5Tcreate(H5T_COMPOUND, sizeof(Acquisition::counters));
  std::size_t offset = 0;
  for (const char* name :
       {"kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast", "phase", "repetition", "set"}) {
    H5Tinsert(counters, name, offset, H5T_NATIVE_UINT16);
    offset += sizeof(std::uint16_t);
  }
  const std::size_t head_bytes = offsetof(Acquisition, trajectory);
  const hid_t head = H5Tcreate(H5T_COMPOUND, head_bytes);
  H5Tinsert(head, "flags", offsetof(Acquisition, flags), H5T_NATIVE_UINT64);
  offset = offsetof(Acquisition, number_of_samples);
  for (const char* name : {"number_of_samples", "active_channels", "discard_pre", "discard_post", "center_sample",
                           "encoding_space_ref", "trajectory_dimensions"}) {
    H5Tinsert(head, name, offset, H5T_NATIVE_UINT16);
    offset += sizeof(std::uint16_t);
  }
  offset = offsetof(Acquisition, places);
  for (const char* name : {"position", "read_dir", "phase_dir", "slice_dir"}) {
    H5Tinsert(head, name, offset, vector);
    offset += 3 * sizeof(float);
  }
  H5Tinsert(head, "idx", offsetof(Acquisition, counters), counters);
  const hid_t type = H5Tcreate(H5T_COMPOUND, sizeof(Acquisition));
  H5Tinsert(type, "head", 0, head);
  H5Tinsert(type, "traj", offsetof(Acquisition, trajectory), floats);
  H5Tinsert(type, "data", offsetof(Acquisition, data), floats);
  return type;
}

std::string header_of(const char* trajectory, int width) {
  const std::string size = "<matrixSize><x>" + std::to_string(width) + "</x><y>6</y><z>1</z></matrixSize>";
  const auto field = [](int x) {
    return "<fieldOfView_mm><x>" + std::to_string(x) + "</x><y>6.0</y><z>5</z></fieldOfView_mm>";
  };
  return "<?xml version=\"1.0\"?>\n<!-- a header -->\n<ns:ismrmrdHeader xmlns:ns=\"http://www.ismrm.org/ISMRMRD\">"
         "<ns:studyInformation/><ns:encoding><encodedSpace>" +
         size + field(width) + "</encodedSpace><reconSpace>" + size + field(width / 2) +
         "</reconSpace><encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>5</maximum><center>3"
         "</center></kspace_encoding_step_1></encodingLimits><trajectory>" +
         trajectory + "</trajectory></ns:encoding></ns:ismrmrdHeader>\n";
}

/// Eight lines of eight samples of two coils: one of noise, one for calibration.
std::string file_of(const char* trajectory, bool newest, const std::string& header, hsize_t chunk, bool compressed) {
  return written([&](const std::filesystem::path& path) {
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (newest) {
      H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    }
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
    const hid_t group = H5Gcreate2(file, "dataset", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    constexpr hsize_t one = 1;
    const hid_t single = H5Screate_simple(1, &one, nullptr);
    const hid_t text = H5Tcopy(H5T_C_S1);
    H5Tset_size(text, H5T_VARIABLE);
    const hid_t xml = H5Dcreate2(group, "xml", text, single, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    const char* pointer = header.c_str();
    H5Dwrite(xml, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, static_cast<const void*>(&pointer));

    constexpr hsize_t count = 8;
    std::array<float, 32> values{};
    std::iota(values.begin(), values.end(), 0.0F);
    std::array<float, 16> places{};
    for (std::size_t i = 0; i < places.size(); ++i) {
      places[i] = static_cast<float>(i) / 32.0F - 0.25F;
    }
    const bool on_grid = std::string(trajectory) == "cartesian";
    std::array<Acquisition, count> lines{};
    for (std::uint16_t i = 0; i < count; ++i) {
      Acquisition& line = lines[i];
      line.flags = std::uint64_t{i == 0 || i == 7 ? 1U : 0U} << (i == 0 ? 18U : 19U);
      line.number_of_samples = 8;
      line.active_channels = 2;
      line.center_sample = 4;
      line.trajectory_dimensions = on_grid ? 0 : 2;
      line.places = {{{1, 2, 3}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
      line.counters[0] = static_cast<std::uint16_t>(i % 6);
      line.trajectory = {on_grid ? 0U : places.size(), places.data()};
      line.data = {values.size(), values.data()};
    }
    const hid_t space = H5Screate_simple(1, &count, nullptr);
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    if (chunk > 0) {
      H5Pset_chunk(properties, 1, &chunk);
    }
    if (compressed) {
      H5Pset_deflate(properties, 6);
    }
    const hid_t type = acquisition_type();
    const hid_t data = H5Dcreate2(group, "data", type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, lines.data());
    H5Dclose(data);
    H5Pclose(properties);
    H5Sclose(space);
    H5Dclose(xml);
    H5Sclose(single);
    H5Gclose(group);
    H5Fclose(file);
    H5Pclose(access);
  });
}

}  // namespace

std::vector<std::string> seeds() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  std::vector<std::string> files;
  for (const bool newest : {false, true}) {
    files.push_back(file_of("cartesian", newest, header_of("cartesian", 8), 1, false));
    files.push_back(file_of("radial", newest, header_of("radial", 8), 3, false));
    files.push_back(file_of("cartesian", newest, header_of("cartesian", 8), 4, true));
    files.push_back(file_of("cartesian", newest, header_of("cartesian", 60000), 0, false));
  }
  files.push_back(file_of("cartesian", false, std::string(5000, '<'), 1, false));
  std::string deep;
  for (int i = 0; i < 4000; ++i) {
    deep += "<a>";
  }
  files.push_back(file_of("cartesian", false, deep, 1, false));
  std::string wide = "<ismrmrdHeader>";
  for (int i = 0; i < 10000; ++i) {
    wide += "<a/>";
  }
  files.push_back(file_of("cartesian", false, wide + "</ismrmrdHeader>", 1, false));
  return files;
}

void load(const std::filesystem::path& path) {
  hdf5::checksums_matter = false;
  const MrdFile file(path);
  for (const bool calibration : {false, true}) {
    try {
      file.read({.calibration = calibration});
    } catch (const Error&) {
    }
  }
  file.noise();
}

void repair(std::string& /*bytes*/) {}

}  // namespace adjoin::fuzz
