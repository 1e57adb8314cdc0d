// SPDX-License-Identifier: BSD-3-Clause
// What a run found, as one HTML file that needs nothing else: text, tables of numbers, pictures, curves.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

namespace adjoin {

struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows = {};
};
/// For a terminal: columns in line, the first to the left, the others to the right. Throws InvalidArgument when a row
/// is longer or shorter than the header.
std::string to_text(const Table& table);

struct Picture {
  std::string caption;
  /// As write_png takes it: values in [0, 1].
  at::Tensor image;
};

struct Curve {
  std::string name;
  /// By iteration, from 1 on; what is not finite is left out.
  std::vector<double> y;
};

struct CurvesOptions {
  std::string title = {};
  std::string x_label = "iteration";
  std::string y_label = {};
  /// A logarithmic axis, for positive values; others are left out.
  bool log_y = false;
};

/// A report under construction: what is added comes in that order. Text is plain, not HTML.
class Report {
 public:
  explicit Report(const std::string& title);

  Report& text(const std::string& paragraph);
  /// Throws InvalidArgument when a row is longer or shorter than the header.
  Report& table(const Table& table);
  /// Side by side, as wide as there is room. Throws InvalidArgument for images that write_png does not take.
  Report& pictures(const std::vector<Picture>& pictures);
  /// Throws InvalidArgument when no curve has a value to show.
  Report& curves(const std::vector<Curve>& curves, const CurvesOptions& options = {});

  /// The whole file.
  std::string html() const;
  /// Writes it. Throws Error when the file cannot be written.
  void write(const std::filesystem::path& path) const;
  /// Puts this report behind those in the file, or writes it where there is none. Throws InvalidArgument when the file
  /// is no report.
  void append(const std::filesystem::path& path) const;

 private:
  std::string title_;
  std::string body_;
};

}  // namespace adjoin
