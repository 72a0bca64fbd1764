#include "fakes/kernel/stack_trace.h"

#include <cxxabi.h>
#include <elf.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace pollux::sim {
namespace {

// The functions of the running program, those without external linkage too (elf(5)); which
// backtrace_symbols(3) does not know.
class Symbols {
 public:
  Symbols() {
    const int fd = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    struct stat status {};
    if (::fstat(fd, &status) == 0) size_ = static_cast<size_t>(status.st_size);
    void* mapped = size_ > 0 ? ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    ::close(fd);
    if (mapped == MAP_FAILED) return;
    image_ = static_cast<const char*>(mapped);
    Load();
    // Where the program was loaded: it is the first that is told of.
    ::dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* bias) {
          *static_cast<uintptr_t*>(bias) = info->dlpi_addr;
          return 1;
        },
        &bias_);
  }
  ~Symbols() {
    if (image_ != nullptr) ::munmap(const_cast<char*>(image_), size_);
  }
  Symbols(const Symbols&) = delete;
  Symbols& operator=(const Symbols&) = delete;

  // Null if the address is in no function of the program.
  const char* NameOf(uintptr_t address) const {
    address -= bias_;
    const auto after = std::upper_bound(
        functions_.begin(), functions_.end(), address,
        [](uintptr_t wanted, const Function& function) { return wanted < function.start; });
    if (after == functions_.begin()) return nullptr;
    const Function& found = *(after - 1);
    return address < found.start + found.size ? found.name : nullptr;
  }

 private:
  struct Function {
    uintptr_t start = 0;
    size_t size = 0;
    const char* name = nullptr;
  };

  void Load() {
    const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(image_);
    if (size_ < sizeof *header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return;
    const std::span sections(reinterpret_cast<const ElfW(Shdr)*>(image_ + header->e_shoff),
                             header->e_shnum);
    for (const ElfW(Shdr) & section : sections) {
      if (section.sh_type != SHT_SYMTAB) continue;
      const char* names = image_ + sections[section.sh_link].sh_offset;
      const std::span symbols(reinterpret_cast<const ElfW(Sym)*>(image_ + section.sh_offset),
                              section.sh_size / sizeof(ElfW(Sym)));
      for (const ElfW(Sym) & symbol : symbols) {
        if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_value == 0) continue;
        functions_.push_back({symbol.st_value, symbol.st_size, names + symbol.st_name});
      }
    }
    std::sort(functions_.begin(), functions_.end(),
              [](const Function& a, const Function& b) { return a.start < b.start; });
  }

  const char* image_ = nullptr;
  size_t size_ = 0;
  uintptr_t bias_ = 0;
  std::vector<Function> functions_;
};

// "pollux::SendStep::Run(int)" as "pollux::SendStep::Run".
std::string WithoutArguments(std::string_view name) {
  constexpr std::string_view kAnonymous = "(anonymous namespace)", kCall = "operator()";
  std::string out;
  int depth = 0;  // of template arguments, which are left out as well
  while (!name.empty()) {
    if (name.starts_with(kAnonymous)) {
      name.remove_prefix(std::min(kAnonymous.size() + 2, name.size()));  // and its "::"
      continue;
    }
    if (name.starts_with(kCall)) {
      out += kCall;
      name.remove_prefix(kCall.size());
      continue;
    }
    const char c = name.front();
    name.remove_prefix(1);
    if (c == '<') ++depth;
    if (depth == 0 && c == '(') break;
    if (depth == 0) out += c;
    if (c == '>') --depth;
  }
  return out;
}

std::string Demangled(const char* symbol) {
  int status = 0;
  char* name = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string out = WithoutArguments(name != nullptr ? name : symbol);
  std::free(name);
  return out;
}

bool SaysNothing(const std::string& name) {
  return name.find("std::") != std::string::npos || name.find("FiberJump") != std::string::npos ||
         name.find("StackTrace::Here") != std::string::npos ||
         name.find("Scheduler::") != std::string::npos;
}

}  // namespace

std::shared_ptr<const StackTrace> StackTrace::Here() {
  auto here = std::make_shared<StackTrace>();
  here->depth_ = ::backtrace(here->addresses_.data(), kDepthMax);
  return here;
}

std::string StackTrace::Tell(const char* head, const StackTrace* trace) {
  if (trace == nullptr) return "";
  const Symbols symbols;
  std::string text = std::string("\n  ") + head;
  for (int i = 0; i < trace->depth_; ++i) {
    // The address is where the function goes on: the call before it may be the function's last.
    const auto address = reinterpret_cast<uintptr_t>(trace->addresses_[static_cast<size_t>(i)]) - 1;
    const char* symbol = symbols.NameOf(address);
    char number[32];
    std::snprintf(number, sizeof number, "0x%zx", static_cast<size_t>(address));
    const std::string line = symbol != nullptr ? Demangled(symbol) : std::string(number);
    if (!SaysNothing(line)) text.append("\n    ").append(line);
  }
  return text;
}

}  // namespace pollux::sim
