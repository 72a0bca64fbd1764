// Files that the commands of pollux-sim read and write.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace pollux::sim {

// Where what is found or recorded goes. Opened before the search for it, which would be lost if
// there turned out to be no place for it.
class OutputFile {
 public:
  explicit OutputFile(std::string path) : path_(std::move(path)) {}
  // A file that was made here and never written is removed again.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Whether the file is there, or could be made, and can be written. What it holds stays.
  bool Open();
  // Replaces what the file holds. Whether that succeeded: the disk may be full by now.
  bool Write(std::string_view text);
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  int fd_ = -1;
  bool made_ = false;
};

// The whole file, which is said to be a `what`. Or one line: it cannot be read, or is far too
// large.
tl::expected<std::string, std::string> ReadText(const std::string& path, const char* what);

}  // namespace pollux::sim
