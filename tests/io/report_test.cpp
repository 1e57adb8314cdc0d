// SPDX-License-Identifier: BSD-3-Clause
// A report is one file that needs no other, with everything that was added, in order.
#include "adjoin/io/report.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "adjoin/core/errors.hpp"
#include "adjoin/io/image.hpp"
#include "temporary_folder.hpp"

namespace adjoin {
namespace {

std::string content_of(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

std::string decoded(const std::string& base64) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : base64) {
    if (c == '=') {
      break;
    }
    bits = (bits << 6U) | static_cast<std::uint32_t>(alphabet.find(c));
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes += static_cast<char>((bits >> static_cast<std::uint32_t>(held)) & 255U);
    }
  }
  return bytes;
}

TEST(Report, HoldsWhatWasAddedInOrder) {
  const std::string html = Report("Title")
                               .text("first")
                               .table({{"method", "dB"}, {{"PGD", "34.2"}, {"ADMM", "35.6"}}})
                               .curves({{"PGD", {1.0, 2.0, 4.0}}})
                               .text("last")
                               .html();
  EXPECT_TRUE(html.starts_with("<!doctype html>"));
  EXPECT_NE(html.find("<title>Title</title>"), std::string::npos);
  const std::vector<std::string> parts = {"<h1>Title</h1>", "<p>first</p>", "<th>dB</th>", "<td>34.2</td>",
                                          "<td>ADMM</td>",  "<svg",         "<polyline",   "<p>last</p>"};
  std::size_t place = 0;
  for (const std::string& part : parts) {
    const std::size_t found = html.find(part, place);
    ASSERT_NE(found, std::string::npos) << part;
    place = found;
  }
  for (const char* tag : {"section", "table", "svg", "tr", "p", "h1", "body", "html"}) {
    EXPECT_EQ(count(html, std::string("<") + tag + ">") + count(html, std::string("<") + tag + " "),
              count(html, std::string("</") + tag + ">"))
        << tag;
  }
}

TEST(Report, NeedsNothingElse) {
  const std::string html = Report("Title").pictures({{"a", at::rand({1, 4, 4})}}).curves({{"b", {1.0}}}).html();
  EXPECT_EQ(count(html, "src=\""), count(html, "src=\"data:image/png;base64,"));
  EXPECT_EQ(count(html, "href="), 0U);
  EXPECT_EQ(count(html, "<script"), 0U);
}

TEST(Report, PicturesAreThePngsOfTheImages) {
  const TemporaryFolder folder;
  for (const std::int64_t width : {5, 6, 7}) {  // every remainder of the length of the file modulo 3
    const at::Tensor image = at::randint(0, 256, {3, 4, width}).to(at::kFloat) / 255.0;
    const std::string html = Report("Title").pictures({{"caption", image}}).html();
    const std::string start = "base64,";
    const std::size_t begin = html.find(start) + start.size();
    const std::string png = decoded(html.substr(begin, html.find('"', begin) - begin));
    EXPECT_EQ(png, encode_png(image));
    std::ofstream(folder / "image.png", std::ios::binary) << png;
    EXPECT_LT((read_png(folder / "image.png")[0] - image).abs().max().item<double>(), 1e-6);
    EXPECT_NE(html.find("<figcaption>caption</figcaption>"), std::string::npos);
  }
}

TEST(Report, TextIsEscaped) {
  const std::string html = Report("a < b & \"c\"").text("<script>").table({{"x>y"}, {{"1 < 2"}}}).html();
  EXPECT_NE(html.find("<h1>a &lt; b &amp; &quot;c&quot;</h1>"), std::string::npos);
  EXPECT_NE(html.find("<p>&lt;script&gt;</p>"), std::string::npos);
  EXPECT_NE(html.find("<td>1 &lt; 2</td>"), std::string::npos);
}

TEST(Report, CurvesLeaveOutWhatCannotBeShown) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto points = [](const std::string& html) {
    const std::size_t begin = html.find("points=\"");
    return count(html.substr(begin, html.find(" \"", begin) - begin), ",");
  };
  EXPECT_EQ(points(Report("t").curves({{"c", {1.0, nan, 3.0, -1.0}}}).html()), 3U);
  EXPECT_EQ(points(Report("t").curves({{"c", {1.0, nan, 3.0, -1.0, 0.0}}}, {.log_y = true}).html()), 2U);
  EXPECT_THROW(Report("t").curves({{"c", {nan}}}), InvalidArgument);
  EXPECT_THROW(Report("t").curves({}), InvalidArgument);
}

TEST(Report, CurvesRiseToTheTop) {
  const std::string html = Report("t").curves({{"c", {1.0, 2.0}}}).html();
  const std::size_t begin = html.find("points=\"") + 8;
  double x1 = 0.0;
  double y1 = 0.0;
  double x2 = 0.0;
  double y2 = 0.0;
  std::istringstream points(html.substr(begin));
  char comma = 0;
  ASSERT_TRUE(points >> x1 >> comma >> y1 >> x2 >> comma >> y2);
  EXPECT_LT(x1, x2);
  EXPECT_GT(y1, y2);  // downwards in SVG
}

TEST(Report, AppendsToAReport) {
  const TemporaryFolder folder;
  Report("First").text("one").append(folder / "report.html");
  EXPECT_EQ(content_of(folder / "report.html"), Report("First").text("one").html());
  Report("Second").text("two").append(folder / "report.html");
  const std::string html = content_of(folder / "report.html");
  EXPECT_LT(html.find("<p>one</p>"), html.find("<h1>Second</h1>"));
  EXPECT_LT(html.find("<h1>Second</h1>"), html.find("<p>two</p>"));
  EXPECT_EQ(count(html, "</html>"), 1U);
  EXPECT_EQ(count(html, "<section>"), 2U);
  Report("Third").write(folder / "report.html");
  EXPECT_EQ(content_of(folder / "report.html"), Report("Third").html());
}

TEST(Report, BadInputIsAnError) {
  const TemporaryFolder folder;
  EXPECT_THROW(Report("t").table({{"a", "b"}, {{"1"}}}), InvalidArgument);
  EXPECT_THROW(Report("t").pictures({{"c", at::zeros({2, 3, 3})}}), InvalidArgument);
  EXPECT_THROW(Report("t").write(folder / "missing" / "report.html"), Error);
  std::ofstream(folder / "notes.txt") << "something else";
  EXPECT_THROW(Report("t").append(folder / "notes.txt"), InvalidArgument);
}

TEST(Table, AsTextHasColumnsInLine) {
  EXPECT_EQ(to_text({{"method", "dB"}, {{"PGD", "34.25"}, {"Aᵀ", "9"}}}),
            "method     dB\n"
            "-------------\n"
            "PGD     34.25\n"
            "Aᵀ          9\n");
  EXPECT_THROW(to_text({{"a"}, {{"1", "2"}}}), InvalidArgument);
}

}  // namespace
}  // namespace adjoin
