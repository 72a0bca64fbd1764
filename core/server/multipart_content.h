// Several ranges of one file, sent part by part.
#pragma once

#include <memory>

#include "core/http/multipart.h"
#include "core/server/content.h"

namespace pollux {

class MultipartContent final : public ContentSource {
 public:
  MultipartContent(http::MultipartRanges ranges, std::shared_ptr<OpenFile> file);

  Result<Outcome> Next(ContentPiece& piece, TransferWaiter& waiter) override;  // never waits

 private:
  const http::MultipartRanges ranges_;
  const std::shared_ptr<OpenFile> file_;
  size_t next_ = 0;  // parts() stands for the end
};

}  // namespace pollux
