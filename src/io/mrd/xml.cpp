// SPDX-License-Identifier: BSD-3-Clause
// A parser of elements, text and entities that refuses everything else.
#include "io/mrd/xml.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "io/hdf5/file.hpp"

namespace adjoin::mrd {

namespace {

using hdf5::require;

constexpr int deepest_element = 32;

std::string with_entities(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, char>, 5> entities = {
      {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}}};
  std::string result;
  while (!text.empty()) {
    const auto entity =
        std::ranges::find_if(entities, [&](const auto& candidate) { return text.starts_with(candidate.first); });
    result += entity == entities.end() ? text.front() : entity->second;
    text.remove_prefix(entity == entities.end() ? 1 : entity->first.size());
  }
  return result;
}

class XmlReader {
 public:
  explicit XmlReader(std::string_view text) : rest_(text) {}

  XmlElement read_document() {
    while (true) {
      skip_to("<");
      if (!skip_remark()) {
        return read_element(0);
      }
    }
  }

 private:
  /// Takes what lies before `end`, and `end`.
  std::string_view take_to(std::string_view end) {
    const auto place = rest_.find(end);
    require(place != std::string_view::npos, "is damaged: its XML has no '", std::string(end), "' where one must come");
    const std::string_view taken = rest_.substr(0, place);
    rest_.remove_prefix(place + end.size());
    return taken;
  }

  void skip_to(std::string_view next) {
    const auto place = rest_.find(next);
    require(place != std::string_view::npos, "is damaged: it is no XML");
    rest_.remove_prefix(place);
  }

  /// Takes a comment, an instruction or a declaration if one comes next.
  bool skip_remark() {
    if (rest_.starts_with("<!--")) {
      take_to("-->");
    } else if (rest_.starts_with("<?")) {
      take_to("?>");
    } else if (rest_.starts_with("<!") && !rest_.starts_with("<![CDATA[")) {
      take_to(">");
    } else {
      return false;
    }
    return true;
  }

  static std::string without_prefix(std::string_view name) {
    const auto colon = name.find(':');
    return std::string(colon == std::string_view::npos ? name : name.substr(colon + 1));
  }

  /// Takes the attributes up to the end of the tag; returns whether the element ends there.
  bool skip_attributes() {
    while (true) {
      const auto next = rest_.find_first_of("\"'>");
      require(next != std::string_view::npos, "is damaged: a tag of its XML has no end");
      const char found = rest_[next];
      const bool closes = found == '>' && next > 0 && rest_[next - 1] == '/';
      rest_.remove_prefix(next + 1);
      if (found == '>') {
        return closes;
      }
      take_to(std::string_view(&found, 1));
    }
  }

  XmlElement read_element(int depth) {
    require(depth < deepest_element, "is damaged: its XML is nested too deeply");
    rest_.remove_prefix(1);
    const auto name_end = std::min(rest_.find_first_of(" \t\r\n/>"), rest_.size());
    XmlElement element{.name = without_prefix(rest_.substr(0, name_end)), .text = {}, .children = {}};
    require(!element.name.empty(), "is damaged: an element of its XML has no name");
    rest_.remove_prefix(name_end);
    if (skip_attributes()) {
      return element;
    }
    while (true) {
      const std::size_t text_end = std::min(rest_.find('<'), rest_.size());
      element.text += with_entities(rest_.substr(0, text_end));
      skip_to("<");
      if (rest_.starts_with("</")) {
        rest_.remove_prefix(2);
        std::string_view name = take_to(">");
        name = name.substr(0, name.find_last_not_of(" \t\r\n") + 1);
        require(without_prefix(name) == element.name, "is damaged: an element of its XML has no end");
        return element;
      }
      if (rest_.starts_with("<![CDATA[")) {
        rest_.remove_prefix(std::string_view("<![CDATA[").size());
        element.text += take_to("]]>");
      } else if (!skip_remark()) {
        element.children.push_back(read_element(depth + 1));
      }
    }
  }

  std::string_view rest_;
};

}  // namespace

const XmlElement* XmlElement::child(std::string_view child_name) const {
  const auto found = std::ranges::find(children, child_name, &XmlElement::name);
  return found == children.end() ? nullptr : &*found;
}

XmlElement read_xml(std::string_view text) { return XmlReader(text).read_document(); }

}  // namespace adjoin::mrd
