// SPDX-License-Identifier: BSD-3-Clause
// Acquisition records read without their samples, of which only the places are kept.
#include "io/mrd/lines.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "io/hdf5/group.hpp"
#include "io/hdf5/records.hpp"

namespace adjoin::mrd {

namespace {

using hdf5::Member;
using hdf5::NumberType;
using hdf5::require;

/// Header that is longer than any scanner writes.
constexpr std::uint64_t longest_text = 4 << 20;
constexpr std::uint64_t float_bytes = 4;
/// Bytes of lines that may come out of a file of any size by decompression.
constexpr std::uint64_t most_unpacked = 4 << 20;

/// Whether lists of a member hold floats as this machine has them.
bool holds_floats(const Member& member) {
  return member.type.kind == NumberType::Kind::Float && member.type.bytes == float_bytes && !member.type.big_endian;
}

/// Finds the members of entries once, and reads them from each.
class LineReader {
 public:
  LineReader(hdf5::GlobalHeap& heap, const hdf5::RecordType& record)
      : heap_(heap), record_(record), trajectory_(list("traj")), data_(list("data")) {
    position_ = vector("head.position");
    directions_ = {vector("head.slice_dir"), vector("head.phase_dir"), vector("head.read_dir")};
    flags_ = &integer("head.flags");
    const auto add = [&](std::int64_t Line::* field, const char* name) { fields_.push_back({field, &integer(name)}); };
    add(&Line::samples, "head.number_of_samples");
    add(&Line::coils, "head.active_channels");
    add(&Line::centre, "head.center_sample");
    add(&Line::discarded_before, "head.discard_pre");
    add(&Line::discarded_after, "head.discard_post");
    add(&Line::trajectory_axes, "head.trajectory_dimensions");
    add(&Line::encoding, "head.encoding_space_ref");
    add(&Line::average, "head.idx.average");
    add(&Line::slice, "head.idx.slice");
    add(&Line::contrast, "head.idx.contrast");
    add(&Line::phase, "head.idx.phase");
    add(&Line::repetition, "head.idx.repetition");
    add(&Line::set, "head.idx.set");
    steps_ = {&integer("head.idx.kspace_encode_step_2"), &integer("head.idx.kspace_encode_step_1")};
  }

  Line read(const std::uint8_t* entry) {
    Line line;
    line.flags = load(*flags_, entry);
    for (const auto& [field, member] : fields_) {
      line.*field = static_cast<std::int64_t>(load(*member, entry));
    }
    for (std::size_t axis = 0; axis < 2; ++axis) {
      line.step[axis] = static_cast<std::int64_t>(load(*steps_[axis], entry));
    }
    std::memcpy(line.position.data(), entry + position_->offset, sizeof(line.position));
    for (std::size_t axis = 0; axis < 3; ++axis) {
      std::memcpy(line.directions[axis].data(), entry + directions_[axis]->offset, sizeof(line.directions[axis]));
    }
    line.trajectory = heap_.find(entry + trajectory_.offset, float_bytes);
    line.data = heap_.find(entry + data_.offset, float_bytes);
    const auto numbers = static_cast<std::uint64_t>(2 * line.samples * line.coils);
    require(line.data.count == numbers, "has a line of ", line.data.count, " numbers in place of ", numbers, ", for ",
            line.samples, " samples of ", line.coils, " coils");
    const auto coordinates = static_cast<std::uint64_t>(line.samples * line.trajectory_axes);
    require(line.trajectory.count == coordinates, "has a line with ", line.trajectory.count,
            " coordinates of its trajectory in place of ", coordinates);
    require(line.discarded_before + line.discarded_after <= line.samples, "has a line of ", line.samples,
            " samples, of which ", line.discarded_before, " and ", line.discarded_after, " should be left out");
    return line;
  }

 private:
  /// Of 16 bits each in the schema, but for the flags; wider ones would overflow in what is computed of them.
  const Member& integer(std::string_view name) const {
    const Member& member = record_.member(name);
    const unsigned most = name == "head.flags" ? 8 : 2;
    require(member.type.kind == NumberType::Kind::Integer && member.type.bytes <= most && !member.varies,
            "must have an integer of ", most, " bytes as '", std::string(name), "'");
    return member;
  }

  const Member* vector(std::string_view name) const {
    const Member& member = record_.member(name);
    require(holds_floats(member) && member.count == 3 && !member.varies, "must have three floats as '",
            std::string(name), "'");
    return &member;
  }

  Member list(std::string_view name) const {
    const Member& member = record_.member(name);
    require(holds_floats(member) && member.varies && member.offset + heap_.reference_bytes() <= record_.bytes,
            "must have a list of floats as '", std::string(name), "'");
    return member;
  }

  static std::uint64_t load(const Member& member, const std::uint8_t* entry) {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < member.type.bytes; ++i) {
      value = value << 8U | entry[member.offset + (member.type.big_endian ? i : member.type.bytes - 1 - i)];
    }
    return value;
  }

  struct Field {
    std::int64_t Line::* field;
    const Member* member;
  };

  hdf5::GlobalHeap& heap_;
  const hdf5::RecordType& record_;
  Member trajectory_;
  Member data_;
  const Member* position_ = nullptr;
  std::array<const Member*, 3> directions_ = {};
  const Member* flags_ = nullptr;
  std::vector<Field> fields_;
  std::array<const Member*, 2> steps_ = {};
};

hdf5::Dataset dataset_at(hdf5::File& file, const std::string& path) {
  return hdf5::read_record_dataset(hdf5::read_object_header(file, hdf5::find_object(file, path)));
}

}  // namespace

bool Line::is_measurement() const {
  constexpr std::array<Flag, 9> others = {Flag::Noise,
                                          Flag::Navigation,
                                          Flag::PhaseCorrection,
                                          Flag::Feedback,
                                          Flag::Dummy,
                                          Flag::RealTimeFeedback,
                                          Flag::SurfaceCoilCorrection,
                                          Flag::PhaseStabilizationReference,
                                          Flag::PhaseStabilization};
  return std::ranges::none_of(others, [&](Flag flag) { return has(flag); });
}

std::vector<Line> read_lines(hdf5::File& file, const std::string& path) {
  const hdf5::Dataset data = dataset_at(file, path);
  hdf5::GlobalHeap heap(file);
  LineReader reader(heap, data.record);
  const std::uint64_t count = data.sizes.empty() ? 1 : data.sizes[0];
  require(count > 0, "has no lines");
  require(count <= (most_unpacked + 4 * file.size()) / sizeof(Line), "claims more lines than the file holds");
  std::vector<Line> lines(count);
  std::uint64_t bytes = 0;
  hdf5::for_each_record(file, data, [&](std::uint64_t index, const std::uint8_t* entry) {
    const Line& line = lines[index] = reader.read(entry);
    bytes += float_bytes * (line.data.count + line.trajectory.count);
    require(bytes <= file.size(), "is damaged: its lines have more samples than the file");
  });
  return lines;
}

std::string read_text(hdf5::File& file, const std::string& path) {
  const hdf5::Dataset data = dataset_at(file, path);
  const Member& member = data.record.member("");
  require(member.varies && member.type.bytes == 1, "must be a text");
  hdf5::GlobalHeap heap(file);
  require(member.offset + heap.reference_bytes() <= data.entry_bytes, "must be a text");
  std::string text;
  hdf5::for_each_record(file, data, [&](std::uint64_t index, const std::uint8_t* entry) {
    if (index == 0) {
      const hdf5::List list = heap.find(entry + member.offset, 1);
      require(list.count <= longest_text, "is longer than 4 MB");
      text.resize(list.count);
      file.values(list.address, text.data(), text.size());
    }
  });
  return text.substr(0, text.find('\0'));
}

}  // namespace adjoin::mrd
