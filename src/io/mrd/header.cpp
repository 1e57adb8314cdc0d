// SPDX-License-Identifier: BSD-3-Clause
// The encodings of the XML header: sizes, fields of view, centres and kinds of trajectory.
#include "io/mrd/header.hpp"

#include <charconv>
#include <cmath>
#include <string_view>

#include "io/hdf5/file.hpp"
#include "io/mrd/xml.hpp"

namespace adjoin::mrd {

namespace {

using hdf5::require;

/// The schema's numbers are of 16 bits.
constexpr std::int64_t largest_size = 65535;

const XmlElement& needed(const XmlElement& parent, std::string_view name) {
  const XmlElement* child = parent.child(name);
  require(child != nullptr, "has no <", std::string(name), "> in its <", parent.name, ">");
  return *child;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  const auto first = text.find_first_not_of(blank);
  return first == std::string_view::npos ? std::string_view()
                                         : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

template <class T>
T number(const XmlElement& element, T least, T most) {
  const std::string_view text = trimmed(element.text);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require(error == std::errc() && end == text.data() + text.size() && value >= least && value <= most,
          "has no sensible number in <", element.name, ">: '", element.text.substr(0, 40), "'");
  return value;
}

Space read_space(const XmlElement& element) {
  constexpr std::array<const char*, 3> axes = {"z", "y", "x"};
  const XmlElement& size = needed(element, "matrixSize");
  const XmlElement& field = needed(element, "fieldOfView_mm");
  Space space;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    space.size[axis] = number<std::int64_t>(needed(size, axes[axis]), 1, largest_size);
    space.field_of_view[axis] = number(needed(field, axes[axis]), 0.0, 1e6);
  }
  return space;
}

std::int64_t read_centre(const XmlElement* limits, std::string_view step, std::int64_t size) {
  const XmlElement* own = limits != nullptr ? limits->child(step) : nullptr;
  return own != nullptr ? number<std::int64_t>(needed(*own, "center"), 0, largest_size) : size / 2;
}

}  // namespace

std::vector<Encoding> read_header(const std::string& xml) {
  const XmlElement header = read_xml(xml);
  require(header.name == "ismrmrdHeader", "has no <ismrmrdHeader>");
  std::vector<Encoding> encodings;
  for (const XmlElement& element : header.children) {
    if (element.name != "encoding") {
      continue;
    }
    Encoding encoding;
    encoding.trajectory = trimmed(needed(element, "trajectory").text);
    encoding.encoded = read_space(needed(element, "encodedSpace"));
    encoding.shown = read_space(needed(element, "reconSpace"));
    const XmlElement* limits = element.child("encodingLimits");
    encoding.centre = {read_centre(limits, "kspace_encoding_step_2", encoding.encoded.size[0]),
                       read_centre(limits, "kspace_encoding_step_1", encoding.encoded.size[1])};
    encodings.push_back(std::move(encoding));
  }
  require(!encodings.empty(), "has no <encoding>");
  return encodings;
}

}  // namespace adjoin::mrd
