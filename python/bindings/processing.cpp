// SPDX-License-Identifier: BSD-3-Clause
// Denoisers and other functions of images, tile by tile.
#include "adjoin/distributed/processing.hpp"

#include "casters.hpp"

namespace adjoin::python {

namespace {

using ContextPtr = std::shared_ptr<DistributedContext>;

// A way of Python's to cut images: an object with num_patches, split(x, indices) and merge(out, indices, patches).
class PythonStrategy : public DistributedSignalStrategy {
 public:
  PythonStrategy(at::IntArrayRef img_size, Object strategy)
      : DistributedSignalStrategy(img_size), strategy_(std::move(strategy)) {}

  std::int64_t get_num_patches() const override {
    const py::gil_scoped_acquire gil;
    return strategy_.get().attr("num_patches").cast<std::int64_t>();
  }
  std::vector<at::Tensor> get_local_patches(const at::Tensor& x,
                                            const std::vector<std::int64_t>& indices) const override {
    const py::gil_scoped_acquire gil;
    return strategy_.get().attr("split")(x, indices).cast<std::vector<at::Tensor>>();
  }
  void reduce_patches(at::Tensor& out, const std::vector<std::int64_t>& indices,
                      const std::vector<at::Tensor>& patches) const override {
    const py::gil_scoped_acquire gil;
    strategy_.get().attr("merge")(out, indices, patches);
  }

 private:
  Object strategy_;
};

StrategyFactory to_strategy_factory(const py::object& make) {
  return [make = Object(make)](at::IntArrayRef img_size) -> std::unique_ptr<DistributedSignalStrategy> {
    const py::gil_scoped_acquire gil;
    return std::make_unique<PythonStrategy>(img_size, Object(make.get()(img_size.vec())));
  };
}

}  // namespace

void bind_processing(py::module_& m) {
  using Sizes = std::vector<std::int64_t>;
  py::class_<DistributedProcessing, std::shared_ptr<DistributedProcessing>>(m, "DistributedProcessing")
      .def(py::init([](const ContextPtr& context, const py::object& processor, const std::string& strategy,
                       Sizes tiling_dims, Sizes patch_size, Sizes overlap, Sizes stride, const std::string& pad_mode,
                       Sizes num_splits, std::optional<std::int64_t> max_batch_size, const py::object& custom) {
             TilingOptions options{.strategy = tiling_from_string(strategy),
                                   .tiling_dims = std::move(tiling_dims),
                                   .patch_size = std::move(patch_size),
                                   .overlap = std::move(overlap),
                                   .stride = std::move(stride),
                                   .pad_mode = pad_mode_from_string(pad_mode),
                                   .num_splits = std::move(num_splits),
                                   .max_batch_size = max_batch_size};
             if (!custom.is_none()) {
               options.custom = to_strategy_factory(custom);
             }
             const Processor process = [f = Object(processor)](const at::Tensor& tiles, const Params& params) {
               return call(f, "processor", {&tiles}, params);
             };
             const py::gil_scoped_release release;
             return without_gil(std::make_unique<DistributedProcessing>(*context, process, options), context);
           }),
           py::arg("context"), py::arg("processor"), py::kw_only(), py::arg("strategy"), py::arg("tiling_dims"),
           py::arg("patch_size"), py::arg("overlap"), py::arg("stride"), py::arg("pad_mode"), py::arg("num_splits"),
           py::arg("max_batch_size"), py::arg("custom"))
      .def("set_parameters", &DistributedProcessing::set_parameters, py::arg("parameters"), Unlocked())
      .def("refuse", refuse_with<DistributedProcessing>, py::arg("method"), py::arg("error"))
      .def(
          "__call__",
          [](const DistributedProcessing& processing, const TensorLike& x, bool gather, const py::object& kwargs) {
            const CallOptions options{.gather = gather, .params = to_params(kwargs)};
            const py::gil_scoped_release release;
            return processing(x, options);
          },
          py::arg("x"), py::arg("gather"), py::arg("kwargs"))
      .def_property_readonly("num_patches", &DistributedProcessing::num_patches)
      .def_property_readonly("local_indices", &DistributedProcessing::local_indices);
}

}  // namespace adjoin::python
