// SPDX-License-Identifier: BSD-3-Clause
// The HTML and SVG of a report: tables, pictures within the file, and curves with their axes.
#include "adjoin/io/report.hpp"

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <limits>
#include <numeric>
#include <sstream>

#include "adjoin/core/errors.hpp"
#include "adjoin/io/image.hpp"

namespace adjoin {

namespace {

constexpr const char* style = R"(<style>
  body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.6rem; margin-top: 3rem; } section:first-of-type h1 { margin-top: 0; }
  table { border-collapse: collapse; margin: 1rem 0; }
  th, td { padding: .25rem .9rem; text-align: right; border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums; }
  th:first-child, td:first-child { text-align: left; }
  .pictures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0; }
  figure { margin: 0; flex: 1 1 15rem; max-width: 34rem; }
  figure img { width: 100%; display: block; }
  figcaption { font-size: .85rem; color: #555; }
  svg { max-width: 100%; height: auto; }
</style>
)";
constexpr const char* page_end = "</body></html>\n";

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string base64(const std::string& bytes) {
  constexpr const char* alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  result.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      word = (word << 8U) | (k < count ? static_cast<std::uint8_t>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      result += k <= count ? alphabet[(word >> (18U - 6U * k)) & 63U] : '=';
    }
  }
  return result;
}

// How many characters a terminal shows for UTF-8 text.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<std::uint8_t>(c) & 0xC0U) != 0x80U; }));
}

void check_table(const Table& table) {
  for (const auto& row : table.rows) {
    check(row.size() == table.header.size(), "table: a row must have ", table.header.size(),
          " cells, as the header, got ", row.size());
  }
}

// ---- Curves ------------------------------------------------------------------------------------------------------

constexpr double plot_width = 640.0;
constexpr double plot_height = 360.0;
constexpr double left = 70.0;
constexpr double right = 16.0;
constexpr double top = 34.0;
constexpr double bottom = 46.0;
// Okabe and Ito's colours, which the colour-blind can tell apart.
constexpr std::array<const char*, 7> colours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                "#E69F00", "#56B4E9", "#000000"};

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.5g", value);
  return text.data();
}

// 1, 2 or 5 times a power of ten, such that a range gets about `count` steps.
double round_step(double range, int count) {
  const double raw = range / count;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) {
      return factor * power;
    }
  }
  return 10.0 * power;
}

std::vector<double> ticks_between(double low, double high, int count) {
  const double step = round_step(high - low, count);
  std::vector<double> ticks;
  const auto last = static_cast<std::int64_t>(std::floor(high / step + 1e-9));
  for (auto k = static_cast<std::int64_t>(std::ceil(low / step - 1e-9)); k <= last; ++k) {
    ticks.push_back(static_cast<double>(k) * step);
  }
  return ticks;
}

// The vertical axis: values, or their logarithms.
class Axis {
 public:
  explicit Axis(bool logarithmic) : logarithmic_(logarithmic) {}

  bool shows(double value) const { return std::isfinite(value) && (!logarithmic_ || value > 0.0); }
  void include(double value) {
    low_ = std::min(low_, scaled(value));
    high_ = std::max(high_, scaled(value));
  }
  bool empty() const { return low_ > high_; }
  // Some room above and below.
  void settle() {
    const double margin = high_ > low_ ? 0.05 * (high_ - low_) : std::max(0.5 * std::abs(high_), 0.5);
    low_ -= margin;
    high_ += margin;
  }
  double place(double value) const {
    return plot_height - bottom - (scaled(value) - low_) / (high_ - low_) * (plot_height - top - bottom);
  }
  std::vector<double> ticks() const {
    if (!logarithmic_) {
      return ticks_between(low_, high_, 6);
    }
    std::vector<double> result;
    for (auto power = static_cast<int>(std::floor(low_)); power <= high_; ++power) {
      for (const double factor : {1.0, 2.0, 5.0}) {
        const double tick = factor * std::pow(10.0, power);
        if (scaled(tick) >= low_ && scaled(tick) <= high_ && (factor == 1.0 || high_ - low_ < 2.5)) {
          result.push_back(tick);
        }
      }
    }
    return result;
  }

 private:
  double scaled(double value) const { return logarithmic_ ? std::log10(value) : value; }

  bool logarithmic_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
};

std::string label(double x, double y, const char* anchor, const std::string& text, const char* more = "") {
  return c10::str("<text x=\"", number(x), "\" y=\"", number(y), "\" text-anchor=\"", anchor, "\"", more, ">",
                  escaped(text), "</text>\n");
}

std::string line(double x1, double y1, double x2, double y2, const char* colour, const char* width) {
  return c10::str("<line x1=\"", number(x1), "\" y1=\"", number(y1), "\" x2=\"", number(x2), "\" y2=\"", number(y2),
                  "\" stroke=\"", colour, "\" stroke-width=\"", width, "\"/>\n");
}

std::string svg_of(const std::vector<Curve>& curves, const CurvesOptions& options) {
  Axis axis(options.log_y);
  std::size_t length = 0;
  for (const Curve& curve : curves) {
    for (std::size_t k = 0; k < curve.y.size(); ++k) {
      if (axis.shows(curve.y[k])) {
        axis.include(curve.y[k]);
        length = std::max(length, k + 1);
      }
    }
  }
  check(!axis.empty(), "curves: must have a value to show, got none");
  axis.settle();
  const double steps = static_cast<double>(std::max<std::size_t>(length, 2) - 1);
  const auto across = [&](double k) { return left + k / steps * (plot_width - left - right); };

  std::string svg =
      c10::str(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 )", number(plot_width), " ", number(plot_height),
               "\" width=\"", number(plot_width), "\" height=\"", number(plot_height),
               "\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#444\">\n");
  for (const double tick : axis.ticks()) {
    svg += line(left, axis.place(tick), plot_width - right, axis.place(tick), "#e4e4e4", "1");
    svg += label(left - 6.0, axis.place(tick) + 4.0, "end", number(tick));
  }
  for (const double tick : ticks_between(1.0, steps + 1.0, 8)) {
    if (tick == std::round(tick)) {
      svg += label(across(tick - 1.0), plot_height - bottom + 18.0, "middle", number(tick));
    }
  }
  svg += line(left, plot_height - bottom, plot_width - right, plot_height - bottom, "#888", "1");
  svg += label(0.5 * (left + plot_width - right), plot_height - 8.0, "middle", options.x_label);
  const std::string turned = c10::str(" transform=\"rotate(-90 14 ", number(0.5 * plot_height), ")\"");
  svg += label(14.0, 0.5 * plot_height, "middle", options.y_label, turned.c_str());
  svg += label(left, 16.0, "start", options.title, " font-weight=\"bold\"");
  double legend = plot_width - right;
  for (std::size_t c = curves.size(); c-- > 0;) {
    const char* colour = colours.at(c % colours.size());
    svg += label(legend, 16.0, "end", curves[c].name);
    legend -= 9.0 * static_cast<double>(width_of(curves[c].name)) + 6.0;
    svg += line(legend - 18.0, 12.0, legend, 12.0, colour, "3");
    legend -= 32.0;

    std::string points;
    for (std::size_t k = 0; k < curves[c].y.size(); ++k) {
      if (axis.shows(curves[c].y[k])) {
        points += c10::str(number(across(static_cast<double>(k))), ",", number(axis.place(curves[c].y[k])), " ");
      }
    }
    svg += c10::str("<polyline points=\"", points, R"(" fill="none" stroke=")", colour, "\" stroke-width=\"2\"/>\n");
  }
  return svg + "</svg>\n";
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) {
    throw Error(c10::str("report: cannot write ", path));
  }
}

}  // namespace

std::string to_text(const Table& table) {
  check_table(table);
  std::vector<std::size_t> widths(table.header.size());
  const auto measure = [&](const std::vector<std::string>& row) {
    for (std::size_t k = 0; k < row.size(); ++k) {
      widths[k] = std::max(widths[k], width_of(row[k]));
    }
  };
  measure(table.header);
  std::ranges::for_each(table.rows, measure);
  std::string text;
  const auto print = [&](const std::vector<std::string>& row) {
    for (std::size_t k = 0; k < row.size(); ++k) {
      const std::string fill(widths[k] - width_of(row[k]), ' ');
      text += k == 0 ? row[k] + fill : "  " + fill + row[k];
    }
    text += '\n';
  };
  print(table.header);
  text += std::string(std::accumulate(widths.begin(), widths.end(), 2 * (std::max<std::size_t>(widths.size(), 1) - 1)),
                      '-') +
          '\n';
  std::ranges::for_each(table.rows, print);
  return text;
}

Report::Report(const std::string& title)
    : title_(escaped(title)), body_(c10::str("<section>\n<h1>", title_, "</h1>\n")) {}

Report& Report::text(const std::string& paragraph) {
  body_ += c10::str("<p>", escaped(paragraph), "</p>\n");
  return *this;
}

Report& Report::table(const Table& table) {
  check_table(table);
  const auto add = [&](const std::vector<std::string>& row, const char* tag) {
    body_ += "<tr>";
    for (const std::string& cell : row) {
      body_ += c10::str("<", tag, ">", escaped(cell), "</", tag, ">");
    }
    body_ += "</tr>\n";
  };
  body_ += "<table>\n";
  add(table.header, "th");
  for (const auto& row : table.rows) {
    add(row, "td");
  }
  body_ += "</table>\n";
  return *this;
}

Report& Report::pictures(const std::vector<Picture>& pictures) {
  std::string html = "<div class=\"pictures\">\n";
  for (const Picture& picture : pictures) {
    html += c10::str("<figure><img alt=\"", escaped(picture.caption), "\" src=\"data:image/png;base64,",
                     base64(encode_png(picture.image)), "\"><figcaption>", escaped(picture.caption),
                     "</figcaption></figure>\n");
  }
  body_ += html + "</div>\n";
  return *this;
}

Report& Report::curves(const std::vector<Curve>& curves, const CurvesOptions& options) {
  body_ += svg_of(curves, options);
  return *this;
}

std::string Report::html() const {
  return c10::str("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>", title_, "</title>\n",
                  style, "</head><body>\n", body_, "</section>\n", page_end);
}

void Report::write(const std::filesystem::path& path) const { write_text(path, html()); }

void Report::append(const std::filesystem::path& path) const {
  if (!std::filesystem::exists(path)) {
    write(path);
    return;
  }
  std::ifstream file(path, std::ios::binary);
  std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  check(content.ends_with(page_end), "append: ", path, " is no report");
  content.resize(content.size() - std::string(page_end).size());
  write_text(path, c10::str(content, body_, "</section>\n", page_end));
}

}  // namespace adjoin
