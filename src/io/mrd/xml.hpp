// SPDX-License-Identifier: BSD-3-Clause
// XML as far as headers of scans have it: elements, and the text in them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace adjoin::mrd {

struct XmlElement {
  std::string name;  // without its namespace's prefix
  std::string text;
  std::vector<XmlElement> children;

  /// The first child of this name; nothing where there is none.
  const XmlElement* child(std::string_view child_name) const;
};

/// The document's element. Attributes, comments and instructions are left out. Throws hdf5::Fault where it is no XML.
XmlElement read_xml(std::string_view text);

}  // namespace adjoin::mrd
