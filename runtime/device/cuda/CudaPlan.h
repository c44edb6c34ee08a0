// A plan that is bound to a batch on a GPU. Its launches are recorded once as a graph, which each step runs; what
// differs from step to step is in cells of device memory, which are written in front of the graph.
#pragma once

#include "runtime/device/cuda/CudaCode.h"
#include "runtime/device/cuda/CudaDevice.h"

namespace moert::cuda {

/// What a plan asks of its device.
class PlanHost {
public:
  virtual ~PlanHost() = default;
  virtual const Driver &driver() const = 0;
  virtual CUstream stream() const = 0;
  virtual Device &device() = 0;
  /// Makes the device's context this thread's. A failure is what the device has failed with.
  virtual Status use() = 0;
  /// Whether the device still does what it is asked for, after a call that it refused. Waits for all of its work.
  virtual bool works() = 0;
  /// Makes a failure the device's.
  virtual Status fail(Status status) = 0;
};

Result<std::unique_ptr<BoundPlan>> bindPlan(PlanSource source, PlanHost &host, std::shared_ptr<Module> module,
                                            uint64_t mostShared);

} // namespace moert::cuda
