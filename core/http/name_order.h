// The order in which a listing shows names.
#pragma once

#include <string_view>

namespace pollux::http {

// Whether `a` stands before `b`: letters of ASCII in either case alike, runs of digits by their
// value ("part 2" before "part 10"), everything else by its bytes, which for UTF-8 is the order of
// code points. Names that are alike by that are ordered by their bytes, so that no two differing
// names are equal: a strict total order. No locale: the same folder looks the same everywhere.
bool NameBefore(std::string_view a, std::string_view b);

}  // namespace pollux::http
