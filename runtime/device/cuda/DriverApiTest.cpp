// Our list of the driver's API against NVIDIA's cuda.h, where the CUDA toolkit is installed: each prototype, each number, each
// structure. All of it is checked when this file is compiled.
#include "runtime/device/cuda/DriverApi.h"

#include <gtest/gtest.h>
#include <type_traits>

#if __has_include(<cuda.h>)
#include <cuda.h>

namespace moert::cuda {
namespace {

// Enumerations and structures of the two headers are different types to C++; they are the same to the driver where they have
// the same size and, below, the same values and offsets.
template <typename Ours, typename Theirs> struct Same : std::is_same<Ours, Theirs> {};
template <typename Ours, typename Theirs>
  requires std::is_enum_v<Ours> && std::is_enum_v<Theirs>
struct Same<Ours, Theirs>
    : std::bool_constant<std::is_same_v<std::underlying_type_t<Ours>, std::underlying_type_t<Theirs>>> {};
template <> struct Same<CUmemAllocationProp, ::CUmemAllocationProp> : std::true_type {};
template <> struct Same<CUmemAccessDesc, ::CUmemAccessDesc> : std::true_type {};
template <typename Ours, typename Theirs>
  requires(!std::is_same_v<Ours, Theirs>)
struct Same<const Ours, const Theirs> : Same<Ours, Theirs> {};
template <typename Ours, typename Theirs>
  requires(!std::is_same_v<Ours, Theirs>)
struct Same<Ours *, Theirs *> : Same<Ours, Theirs> {};
template <typename... Ours, typename... Theirs>
  requires(sizeof...(Ours) == sizeof...(Theirs))
struct Same<CUresult(Ours...), ::CUresult(Theirs...)> : std::conjunction<Same<Ours, Theirs>...> {};

static_assert(!Same<CUresult(int), ::CUresult(long)>::value && !Same<CUresult(int), ::CUresult()>::value &&
              !Same<CUresult(int *), ::CUresult(const int *)>::value);

#define MOERT_CUDA_COMPARE(name, symbol, parameters)                                                         \
  static_assert(Same<CUresult parameters, decltype(::symbol)>::value, "prototype of " #symbol);
MOERT_CUDA_FUNCTIONS(MOERT_CUDA_COMPARE)
MOERT_CUDA_TEST_FUNCTIONS(MOERT_CUDA_COMPARE)
#undef MOERT_CUDA_COMPARE

#define MOERT_CUDA_COMPARE(name, value, text)                                                                \
  static_assert(unsigned(name) == unsigned(::name) && unsigned(name) == value);
MOERT_CUDA_RESULTS(MOERT_CUDA_COMPARE)
#undef MOERT_CUDA_COMPARE
#define MOERT_CUDA_COMPARE(name, value) static_assert(unsigned(name) == unsigned(::name), #name);
#define MOERT_CUDA_COMPARE_ALL(name, list) list(MOERT_CUDA_COMPARE)
MOERT_CUDA_ENUMERATIONS(MOERT_CUDA_COMPARE_ALL)
MOERT_CUDA_FLAGS(MOERT_CUDA_COMPARE)

#define MOERT_CUDA_FIELD(type, field)                                                                        \
  static_assert(offsetof(type, field) == offsetof(::type, field) &&                                          \
                    sizeof(type::field) == sizeof(::type::field),                                            \
                #type "::" #field)
static_assert(sizeof(CUmemAllocationProp) == sizeof(::CUmemAllocationProp) &&
              sizeof(CUmemAccessDesc) == sizeof(::CUmemAccessDesc) &&
              sizeof(CUmemLocation) == sizeof(::CUmemLocation));
MOERT_CUDA_FIELD(CUmemLocation, type);
MOERT_CUDA_FIELD(CUmemLocation, id);
MOERT_CUDA_FIELD(CUmemAllocationProp, type);
MOERT_CUDA_FIELD(CUmemAllocationProp, requestedHandleTypes);
MOERT_CUDA_FIELD(CUmemAllocationProp, location);
MOERT_CUDA_FIELD(CUmemAllocationProp, win32HandleMetaData);
MOERT_CUDA_FIELD(CUmemAllocationProp, allocFlags);
MOERT_CUDA_FIELD(CUmemAllocationProp, allocFlags.gpuDirectRDMACapable);
MOERT_CUDA_FIELD(CUmemAllocationProp, allocFlags.usage);
MOERT_CUDA_FIELD(CUmemAccessDesc, location);
MOERT_CUDA_FIELD(CUmemAccessDesc, flags);

TEST(DriverApi, IsThatOfTheToolkit) { SUCCEED() << "checked at compile time"; }

} // namespace
} // namespace moert::cuda
#else
TEST(DriverApi, IsThatOfTheToolkit) { GTEST_SKIP() << "no cuda.h"; }
#endif
