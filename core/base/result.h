// Errors are values: an errno and the operation that met it, never translated into fewer codes.
//
//   Result<Fd> Open(...);
//   auto fd = Open(...);
//   if (!fd) return Err(fd.error());
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

namespace pollux {

// `code` is an errno (errno(3)); `operation` names what failed and has static storage duration, so
// that an Error is trivially copyable and costs nothing to return.
struct Error {
  int code = 0;
  const char* operation = "";

  friend bool operator==(const Error& a, const Error& b) { return a.code == b.code; }
};
static_assert(std::is_trivially_copyable_v<Error>);

// tl::expected, but ignoring one is a warning (an error in CI).
template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using Base = tl::expected<T, Error>;
  using Base::Base;
  Result() = default;
  Result(const Base& base) : Base(base) {}        // NOLINT(google-explicit-constructor)
  Result(Base&& base) : Base(std::move(base)) {}  // NOLINT(google-explicit-constructor)
};

using Status = Result<void>;

inline tl::unexpected<Error> Err(int code, const char* operation) {
  return tl::unexpected<Error>(Error{code, operation});
}
inline tl::unexpected<Error> Err(const Error& error) { return tl::unexpected<Error>(error); }

// "EMFILE", or "errno 1234" for what glibc cannot name. Any thread.
std::string ErrnoName(int code);

// "accept4: EMFILE (Too many open files)". Any thread.
std::string ToString(const Error& error);

}  // namespace pollux
