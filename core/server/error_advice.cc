#include "core/server/error_advice.h"

#include <cerrno>
#include <string_view>
#include <utility>

namespace pollux {
namespace {

std::string_view Advice(const Error& error) {
  const std::string_view operation = error.operation;
  switch (error.code) {
    case EMFILE:
      return "raise RLIMIT_NOFILE (ulimit -Hn) or lower --max-connections";
    case ENFILE:
      return "raise fs.file-max (sysctl), or find who holds so many files";
    case ENOMEM:
    case ENOBUFS:
      return "free memory, or lower --max-connections, --max-unsent and --buffer-budget";
    case ENOSPC:
      if (operation == "epoll_ctl") return "raise fs.epoll.max_user_watches (sysctl)";
      return "make room on that file system";
    case EDQUOT:
      return "make room, or raise the quota";
    case EFBIG:
      return "start a new file (SIGHUP reopens the access log), or raise RLIMIT_FSIZE";
    case EROFS:
      return "the file system has become read-only: the kernel's log says why";
    case EIO:
    case EUCLEAN:
      return "the disk or its file system fails: the kernel's log says how (dmesg)";
    case ESTALE:
      return "the file server has replaced the folder: mount it again";
    case EAGAIN:
      if (operation == "openat2") return "files are being renamed all the time: ask again";
      return "";
    default:
      return "";
  }
}

}  // namespace

std::string WhatToDo(const Error& error) {
  const std::string_view advice = Advice(error);
  return advice.empty() ? std::string() : "; " + std::string(advice);
}

std::optional<uint64_t> RepeatedErrors::Admit(const Error& error, TimePoint now) {
  const auto [record, first] = by_code_.try_emplace(error.code, Record{now, 0});
  if (!first && now - record->second.logged < kInterval) {
    ++record->second.held_back;
    return std::nullopt;
  }
  record->second.logged = now;
  return std::exchange(record->second.held_back, 0);
}

}  // namespace pollux
