// SPDX-License-Identifier: BSD-3-Clause
// Parameters of every type: kept, looked up, selected, and sent as bytes.
#include "adjoin/core/params.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "adjoin/core/errors.hpp"
#include "adjoin/core/serialize.hpp"

namespace adjoin {
namespace {

Params every_type() {
  return {{"mask", at::ones({2})},
          {"circular", true},
          {"count", std::int64_t{3}},
          {"sigma", 0.5},
          {"name", std::string("gaussian")},
          {"kernels", TensorList{at::zeros({1}), at::ones({2, 2}, at::kComplexDouble)}},
          {"sizes", std::vector<std::int64_t>{1, 2}},
          {"angles", std::vector<double>{0.5, 1.5}},
          {"names", std::vector<std::string>{"a", "b"}}};
}

void expect_every_type(const Params& params) {
  EXPECT_EQ(params.size(), 9U);
  EXPECT_TRUE(at::equal(params.get<at::Tensor>("mask"), at::ones({2})));
  EXPECT_TRUE(params.get<bool>("circular"));
  EXPECT_EQ(params.get<std::int64_t>("count"), 3);
  EXPECT_EQ(params.get<double>("sigma"), 0.5);
  EXPECT_EQ(params.get<std::string>("name"), "gaussian");
  EXPECT_TRUE(at::equal(params.get<TensorList>("kernels")[1], at::ones({2, 2}, at::kComplexDouble)));
  EXPECT_EQ(params.get<std::vector<std::int64_t>>("sizes"), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(params.get<std::vector<double>>("angles"), (std::vector<double>{0.5, 1.5}));
  EXPECT_EQ(params.get<std::vector<std::string>>("names"), (std::vector<std::string>{"a", "b"}));
}

TEST(Params, OpaqueValuesStayInTheProcess) {
  const auto object = std::make_shared<int>(7);
  const Params params{{"object", Opaque(object)}};
  EXPECT_EQ(params.get<Opaque>("object").get(), object.get());
  EXPECT_THROW(serialize(params), InvalidArgument);
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "";
}

TEST(Params, HoldEveryType) { expect_every_type(every_type()); }

TEST(Params, ANameWithoutValueIsThereAndCountsAsMissing) {
  const Params params = {{"filter", Opaque()}};
  EXPECT_EQ(params.size(), 1U);
  EXPECT_FALSE(params.contains("filter"));
  EXPECT_EQ(params.get_or("filter", 2.0), 2.0);
  EXPECT_EQ(message_of([&] { params.get<at::Tensor>("filter"); }), "parameter 'filter': expected a tensor, got none");
}

TEST(Params, TheSomeThatHaveTheNamesKeepOrderAndSource) {
  Params params = {{"a", 1.0}, {"b", 2.0}, {"c", 3.0}};
  params.set_source(std::make_shared<int>(7));
  const Params some = params.only({.names = {"c", "a", "d"}});
  EXPECT_EQ(some.size(), 2U);
  EXPECT_EQ(some.begin()->first, "a");
  EXPECT_EQ(some.source(), params.source());
  EXPECT_EQ(params.only({.any = true}).size(), 3U);
  EXPECT_TRUE(params.only({}).empty());
}

TEST(Params, HaveNoSourceOnceAValueWasSet) {
  Params params = {{"a", 1.0}};
  params.set_source(std::make_shared<int>(7));
  params.set("a", 2.0);
  EXPECT_EQ(params.source(), nullptr);
}

TEST(ParameterNames, AddUp) {
  ParameterNames names = {.names = {"a", "b"}};
  names += {.names = {"b", "c"}};
  EXPECT_EQ(names.names, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(names.contains("c"));
  EXPECT_FALSE(names.contains("d"));
  names += {.any = true};
  EXPECT_TRUE(names.contains("d"));
}

TEST(ParameterNames, AnUnknownOneIsNamedWithThoseThatThereAre) {
  EXPECT_EQ(message_of([] { check_names("Blur::A", {{"fliter", 1.0}}, {.names = {"filter", "mask"}}); }),
            "Blur::A: unknown parameter 'fliter'; it takes 'filter', 'mask'");
  EXPECT_EQ(message_of([] { check_names("Blur::A", {{"fliter", Opaque()}}, {}); }),
            "Blur::A: unknown parameter 'fliter'; it takes no parameters");
  EXPECT_NO_THROW(check_names("A", {{"fliter", 1.0}}, {.any = true}));
  EXPECT_NO_THROW(check_names("A", {}, {}));
}

TEST(Params, KeepTheOrderOfInsertionAndReplaceByName) {
  Params params = {{"b", 1.0}, {"a", 2.0}, {"b", 3.0}};
  EXPECT_EQ(params.size(), 2U);
  EXPECT_EQ(params.begin()->first, "b");
  EXPECT_EQ(params.get<double>("b"), 3.0);
  params.set("c", true).set("a", 5.0);
  EXPECT_EQ(params.get<double>("a"), 5.0);
  EXPECT_TRUE(params.contains("c"));
  EXPECT_FALSE(params.contains("d"));
  EXPECT_TRUE(Params().empty());
}

TEST(Params, AnIntegerServesWhereANumberIsAskedFor) {
  const Params params = {{"sigma", std::int64_t{2}}};
  EXPECT_EQ(params.get<double>("sigma"), 2.0);
  EXPECT_EQ(params.get_or<double>("sigma", 7.0), 2.0);
}

TEST(Params, MissingOnesHaveAFallbackAndWrongOnesDoNot) {
  const Params params = {{"sigma", 2.5}};
  EXPECT_EQ(params.get_or<double>("gain", 1.0), 1.0);
  EXPECT_THROW(params.get_or<std::int64_t>("sigma", 1), InvalidArgument);
}

TEST(Params, ErrorsNameTheParameterAndBothTypes) {
  const Params params = {{"sigma", 2.5}};
  EXPECT_EQ(message_of([&] { params.get<double>("gain"); }), "parameter 'gain': expected a number, got none");
  EXPECT_EQ(message_of([&] { params.get<at::Tensor>("sigma"); }), "parameter 'sigma': expected a tensor, got a number");
  EXPECT_EQ(message_of([&] { params.get<std::int64_t>("sigma"); }),
            "parameter 'sigma': expected an integer, got a number");
}

TEST(Serialize, ParametersComeBackAsTheyWere) {
  const Params back = deserialize_params(serialize(every_type()));
  expect_every_type(back);
  EXPECT_EQ(back.begin()->first, "mask");
  EXPECT_TRUE(deserialize_params(serialize(Params())).empty());
}

TEST(Serialize, TensorsComeBackAsTheyWere) {
  const TensorList tensors = {at::arange(6).view({2, 3}).t(), at::ones({2}, at::kComplexDouble).mul(2.0).conj(),
                              at::ones({3}, at::kBool), at::zeros({0, 4}, at::kHalf), at::tensor(2.5)};
  const TensorList back = deserialize_tensors(serialize(tensors));
  ASSERT_EQ(back.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_TRUE(at::equal(back[i], tensors[i])) << i;
    EXPECT_EQ(back[i].scalar_type(), tensors[i].scalar_type()) << i;
  }
}

TEST(Serialize, BytesCutShortAreAnError) {
  const std::string bytes = serialize(every_type());
  for (std::size_t length = 0; length < bytes.size(); length += 7) {
    EXPECT_THROW(deserialize_params(std::string_view(bytes).substr(0, length)), Error) << length;
  }
}

}  // namespace
}  // namespace adjoin
