// SPDX-License-Identifier: BSD-3-Clause
// Lines sorted into k-space by their counters, without the oversampling, or kept along a trajectory.
#include "adjoin/io/mrd.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "adjoin/core/errors.hpp"
#include "io/claims.hpp"
#include "io/mrd/header.hpp"
#include "io/mrd/lines.hpp"

namespace adjoin {

namespace {

using hdf5::require;
using mrd::Encoding;
using mrd::Flag;
using mrd::Line;
using Complex = c10::complex<float>;

/// Numbers of k-space that may be zero because nothing was measured there, in a file of any size, and for each one that
/// was measured.
constexpr std::int64_t most_unmeasured = 1 << 20;
constexpr std::int64_t most_acceleration = 64;

/// Calls `function`; what is wrong with the file becomes an InvalidArgument that names it.
template <class Function>
auto named(const std::filesystem::path& path, const Function& function) {
  try {
    return function();
  } catch (const hdf5::Fault& fault) {
    throw InvalidArgument(c10::str("MrdFile: ", path, " ", fault.what()));
  }
}

template <class Function>
auto in_dataset(const std::string& name, const Function& function) {
  try {
    return function();
  } catch (const hdf5::Fault& fault) {
    throw hdf5::Fault(c10::str("is no ISMRMRD file that can be read: its dataset '", name, "' ", fault.what()));
  }
}

/// How many numbers 0, 1, … there are of the lines of images.
std::int64_t count_of(const std::vector<Line>& lines, std::int64_t Line::* field) {
  std::int64_t most = -1;
  for (const Line& line : lines) {
    most = std::max(most, line.is_imaging() ? line.*field : -1);
  }
  return most + 1;
}

bool is_grid(const Encoding& encoding) { return encoding.trajectory == "cartesian"; }

/// The samples of one coil of a line, into memory for all of them, in the order of a line that runs forwards.
void read_samples(const hdf5::File& file, const Line& line, std::int64_t coil, Complex* samples) {
  const auto bytes = static_cast<std::uint64_t>(line.samples) * sizeof(Complex);
  file.values(line.data.address + static_cast<std::uint64_t>(coil) * bytes, samples, bytes);
  if (line.has(Flag::Reverse)) {
    std::reverse(samples, samples + line.samples);
  }
}

/// Middle `count` of the pixels along the last axis, as k-space of its own size.
at::Tensor without_oversampling(const at::Tensor& kspace, std::int64_t count) {
  const std::int64_t n = kspace.size(-1);
  at::Tensor result = at::empty({kspace.size(0), kspace.size(1), kspace.size(2), count}, kspace.options());
  for (std::int64_t coil = 0; coil < kspace.size(0); ++coil) {
    const at::Tensor image = at::fft_fftshift(at::fft_ifft(at::fft_ifftshift(kspace[coil], -1), {}, -1, "ortho"), -1);
    const at::Tensor middle = image.narrow(-1, n / 2 - count / 2, count);
    result[coil] = at::fft_fftshift(at::fft_fft(at::fft_ifftshift(middle, -1), {}, -1, "ortho"), -1);
  }
  return result;
}

/// Pixels of an axis of k-space's image that the scanner's own image shows.
std::int64_t shown_pixels(const Encoding& encoding, std::size_t axis) {
  const double fraction = encoding.shown.field_of_view[axis] / encoding.encoded.field_of_view[axis];
  const std::int64_t size = encoding.encoded.size[axis];
  // Fields of view that are zero say nothing.
  const bool sensible = std::isfinite(fraction) && fraction > 0.0 && fraction < 1.0;
  return sensible ? std::max<std::int64_t>(1, std::llround(fraction * static_cast<double>(size))) : size;
}

}  // namespace

struct MrdFile::Content {
  Content(std::filesystem::path file_path, const std::string& group)
      : path(std::move(file_path)),
        file(path),
        xml(in_dataset(group + "/xml", [&] { return mrd::read_text(file, group + "/xml"); })),
        encodings(in_dataset(group + "/xml", [&] { return mrd::read_header(xml); })),
        lines(in_dataset(group + "/data", [&] { return mrd::read_lines(file, group + "/data"); })) {
    const auto first = std::ranges::find_if(lines, [](const Line& line) { return line.is_imaging(); });
    require(first != lines.end(), "has no lines of images");
    coils = first->coils;
    require(coils > 0, "has lines of no coils");
    require(first->encoding < static_cast<std::int64_t>(encodings.size()), "has lines of encoding ", first->encoding,
            ", which its header does not describe");
    main_encoding = first->encoding;
    require(encoding().trajectory != "epi", "is an echo-planar scan, which needs corrections that are not done here");
  }

  const Encoding& encoding() const { return encodings[static_cast<std::size_t>(main_encoding)]; }
  std::vector<std::int64_t> selected_coils(const MrdSelection& selection) const;
  std::vector<const Line*> selected_lines(const MrdSelection& selection) const;
  void read_grid(const std::vector<const Line*>& chosen, const std::vector<std::int64_t>& numbers, MrdScan& scan) const;
  void read_trajectory(const std::vector<const Line*>& chosen, const std::vector<std::int64_t>& numbers,
                       MrdScan& scan) const;

  std::filesystem::path path;
  hdf5::File file;
  std::string xml;
  std::vector<Encoding> encodings;
  std::vector<Line> lines;
  std::int64_t coils = 0;
  std::int64_t main_encoding = 0;  // that of the images
};

std::vector<std::int64_t> MrdFile::Content::selected_coils(const MrdSelection& selection) const {
  std::vector<std::int64_t> numbers = selection.coils;
  if (numbers.empty()) {
    numbers.resize(static_cast<std::size_t>(coils));
    std::iota(numbers.begin(), numbers.end(), 0);
  }
  check(std::ranges::adjacent_find(numbers, std::greater_equal()) == numbers.end() && numbers.front() >= 0 &&
            numbers.back() < coils,
        "MrdFile.read: coils must be ascending numbers from 0 to ", coils - 1, ", got ", at::IntArrayRef(numbers));
  return numbers;
}

std::vector<const Line*> MrdFile::Content::selected_lines(const MrdSelection& selection) const {
  std::vector<const Line*> chosen;
  for (const Line& line : lines) {
    const bool kind = selection.calibration ? line.is_calibration() : line.is_imaging();
    if (kind && line.encoding == main_encoding && line.slice == selection.slice &&
        line.contrast == selection.contrast && line.phase == selection.phase &&
        line.repetition == selection.repetition && line.set == selection.set) {
      chosen.push_back(&line);
    }
  }
  check(!chosen.empty(), "MrdFile.read: ", path, " has no ", selection.calibration ? "calibration " : "",
        "lines of slice ", selection.slice, ", contrast ", selection.contrast, ", phase ", selection.phase,
        ", repetition ", selection.repetition, " and set ", selection.set);
  for (const Line* line : chosen) {
    require(line->coils == coils, "has lines of ", line->coils, " coils beside those of ", coils);
    for (auto flag = static_cast<unsigned>(Flag::FirstCompression);
         flag <= static_cast<unsigned>(Flag::LastCompression); ++flag) {
      require(!line->has(static_cast<Flag>(flag)), "has compressed lines, which are not read");
    }
  }
  return chosen;
}

void MrdFile::Content::read_grid(const std::vector<const Line*>& chosen, const std::vector<std::int64_t>& numbers,
                                 MrdScan& scan) const {
  const auto [depth, height, width] = encoding().encoded.size;
  const std::int64_t pixels = depth * height * width;
  const auto count = static_cast<std::int64_t>(numbers.size());
  std::int64_t measured = 0;
  std::int64_t longest = 0;
  for (const Line* line : chosen) {
    measured += line->samples;
    longest = std::max(longest, line->samples);
  }
  require(pixels <= most_unmeasured / count + most_acceleration * measured, "claims k-space of ", depth, " x ", height,
          " x ", width, ", of which it holds ", measured, " samples");
  at::Tensor kspace = at::zeros({count, depth, height, width}, at::kComplexFloat);
  at::Tensor counts = at::zeros({depth, height, width}, at::kFloat);
  auto* const out = kspace.mutable_data_ptr<Complex>();
  auto* const times = counts.mutable_data_ptr<float>();
  std::vector<Complex> samples(static_cast<std::size_t>(longest));
  for (const Line* line : chosen) {
    const std::int64_t z = line->step[0] - encoding().centre[0] + depth / 2;
    const std::int64_t y = line->step[1] - encoding().centre[1] + height / 2;
    require(z >= 0 && z < depth && y >= 0 && y < height, "has a line of steps ", line->step[1], " and ", line->step[0],
            ", beyond its k-space of ", height, " x ", depth);
    const bool reverse = line->has(Flag::Reverse);
    const std::int64_t first = reverse ? line->discarded_after : line->discarded_before;
    const std::int64_t last = line->samples - (reverse ? line->discarded_before : line->discarded_after);
    // A line that runs backwards has its centre where it is, counted from its other end.
    const std::int64_t centre = reverse ? line->samples - 1 - line->centre : line->centre;
    const std::int64_t shift = width / 2 - centre;
    require(first == last || (first + shift >= 0 && last + shift <= width), "has a line of ", line->samples,
            " samples with the centre at ", line->centre, ", beyond its k-space of ", width);
    const std::int64_t row = (z * height + y) * width + shift;
    for (std::int64_t i = 0; i < count; ++i) {
      read_samples(file, *line, numbers[static_cast<std::size_t>(i)], samples.data());
      for (std::int64_t x = first; x < last; ++x) {
        out[i * pixels + row + x] += samples[static_cast<std::size_t>(x)];
      }
    }
    for (std::int64_t x = first; x < last; ++x) {
      times[row + x] += 1.0F;
    }
  }
  kspace.div_(counts.clamp_min(1.0F));
  at::Tensor weights = (counts / counts.max().clamp_min(1.0F)).sqrt();
  // A line that is measured in parts has edges, which the transform of its middle would blur.
  const at::Tensor rows = counts.reshape({-1, width});
  const bool complete = at::equal(rows, rows.narrow(1, 0, 1).expand_as(rows));
  const std::int64_t shown = shown_pixels(encoding(), 2);
  if (complete && shown < width) {
    kspace = without_oversampling(kspace, shown);
    weights = weights.narrow(2, 0, shown).contiguous();
    scan.image_size[2] = shown;
  }
  scan.kspace = depth == 1 ? kspace.squeeze(1) : kspace;
  scan.weights = depth == 1 ? weights.squeeze(0) : weights;
}

void MrdFile::Content::read_trajectory(const std::vector<const Line*>& chosen, const std::vector<std::int64_t>& numbers,
                                       MrdScan& scan) const {
  const auto kept = [](const Line& line) { return line.samples - line.discarded_before - line.discarded_after; };
  const std::int64_t axes = encoding().encoded.size[0] == 1 ? 2 : 3;
  const std::int64_t samples = kept(*chosen[0]);
  require(samples > 0, "has lines of no samples");
  const auto count = static_cast<std::int64_t>(chosen.size());
  std::int64_t longest = 0;
  for (const Line* line : chosen) {
    require(line->trajectory_axes >= axes, "has a ", encoding().trajectory, " trajectory of ", line->trajectory_axes,
            " coordinates in place of ", axes);
    require(kept(*line) == samples, "has lines of ", kept(*line), " samples beside those of ", samples);
    longest = std::max(longest, line->samples * std::max<std::int64_t>(line->trajectory_axes, 2));
  }
  const auto coil_count = static_cast<std::int64_t>(numbers.size());
  scan.kspace = at::empty({coil_count, count, samples}, at::kComplexFloat);
  scan.trajectory = at::empty({count, samples, axes}, at::kFloat);
  auto* const out = scan.kspace.mutable_data_ptr<Complex>();
  auto* const places = scan.trajectory.mutable_data_ptr<float>();
  std::vector<Complex> values(static_cast<std::size_t>(longest));
  std::vector<float> coordinates(static_cast<std::size_t>(longest));
  for (std::int64_t shot = 0; shot < count; ++shot) {
    const Line& line = *chosen[static_cast<std::size_t>(shot)];
    require(!line.has(Flag::Reverse), "has lines that run backwards along a trajectory");
    file.values(line.trajectory.address, coordinates.data(), line.trajectory.count * sizeof(float));
    for (std::int64_t x = 0; x < samples; ++x) {
      const std::int64_t from = (line.discarded_before + x) * line.trajectory_axes;
      for (std::int64_t axis = 0; axis < axes; ++axis) {
        places[(shot * samples + x) * axes + axis] = coordinates[static_cast<std::size_t>(from + axes - 1 - axis)];
      }
    }
    for (std::int64_t i = 0; i < coil_count; ++i) {
      read_samples(file, line, numbers[static_cast<std::size_t>(i)], values.data());
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(line.discarded_before), samples,
                  out + (i * count + shot) * samples);
    }
  }
}

MrdFile::MrdFile(const std::filesystem::path& path, const std::string& group) {
  file_size("MrdFile", path);
  content_ = named(path, [&] { return std::make_shared<const Content>(path, group); });
}

const std::string& MrdFile::header() const { return content_->xml; }
const std::string& MrdFile::trajectory() const { return content_->encoding().trajectory; }
std::int64_t MrdFile::coils() const { return content_->coils; }
std::int64_t MrdFile::slices() const { return count_of(content_->lines, &Line::slice); }
std::int64_t MrdFile::contrasts() const { return count_of(content_->lines, &Line::contrast); }
std::int64_t MrdFile::phases() const { return count_of(content_->lines, &Line::phase); }
std::int64_t MrdFile::repetitions() const { return count_of(content_->lines, &Line::repetition); }
std::int64_t MrdFile::sets() const { return count_of(content_->lines, &Line::set); }
std::int64_t MrdFile::averages() const { return count_of(content_->lines, &Line::average); }

bool MrdFile::has_calibration() const {
  return std::ranges::any_of(content_->lines, [&](const Line& line) {
    return line.is_calibration() && !line.is_imaging() && line.encoding == content_->main_encoding;
  });
}

MrdScan MrdFile::read(const MrdSelection& selection) const {
  const Content& content = *content_;
  const std::vector<std::int64_t> coils = content.selected_coils(selection);
  return named(content.path, [&] {
    const std::vector<const Line*> chosen = content.selected_lines(selection);
    const Encoding& encoding = content.encoding();
    MrdScan scan;
    scan.image_size.assign(encoding.encoded.size.begin(), encoding.encoded.size.end());
    for (std::size_t axis = 0; axis < 3; ++axis) {
      scan.shown_size.push_back(shown_pixels(encoding, axis));
      const double field = encoding.encoded.field_of_view[axis];
      scan.voxel_size[axis] = field > 0.0 ? field / static_cast<double>(encoding.encoded.size[axis]) : 1.0;
      scan.position[axis] = chosen[0]->position[axis];
      std::ranges::copy(chosen[0]->directions[axis], scan.directions[axis].begin());
    }
    is_grid(encoding) ? content.read_grid(chosen, coils, scan) : content.read_trajectory(chosen, coils, scan);
    if (encoding.encoded.size[0] == 1) {
      scan.image_size.erase(scan.image_size.begin());
      scan.shown_size.erase(scan.shown_size.begin());
    }
    return scan;
  });
}

at::Tensor MrdFile::noise() const {
  return named(content_->path, [&]() -> at::Tensor {
    std::vector<at::Tensor> parts;
    for (const Line& line : content_->lines) {
      if (line.is_noise() && line.samples > 0) {
        require(line.coils == content_->coils, "has noise of ", line.coils, " coils and images of ", content_->coils);
        const at::Tensor part = at::empty({line.coils, line.samples}, at::kComplexFloat);
        content_->file.values(line.data.address, part.mutable_data_ptr(), part.nbytes());
        parts.push_back(part);
      }
    }
    return parts.empty() ? at::Tensor() : at::cat(parts, 1);
  });
}

}  // namespace adjoin
