#include "fuzz/other_parser.h"

namespace pollux::fuzz {
namespace {

Other* Self(http_parser* parser) { return static_cast<Other*>(parser->data); }

int OnField(http_parser* parser, const char* at, size_t length) {
  Other* self = Self(parser);
  if (self->value_began) self->fields.emplace_back();
  self->value_began = false;
  self->fields.back().first.append(at, length);
  return 0;
}

int OnValue(http_parser* parser, const char* at, size_t length) {
  Self(parser)->value_began = true;
  Self(parser)->fields.back().second.append(at, length);
  return 0;
}

int OnTarget(http_parser* parser, const char* at, size_t length) {
  Self(parser)->target.append(at, length);
  return 0;
}

int OnComplete(http_parser* parser) {
  Other* self = Self(parser);
  self->complete = true;
  self->method = http_method_str(static_cast<http_method>(parser->method));
  self->major = parser->http_major;
  self->minor = parser->http_minor;
  self->flags = parser->flags;
  self->content_length = parser->content_length;
  self->keep_alive = http_should_keep_alive(parser) != 0;
  http_parser_pause(parser, 1);
  return 0;
}

}  // namespace

Other ReadWithOther(std::string_view bytes) {
  http_parser_settings settings;
  http_parser_settings_init(&settings);
  settings.on_url = OnTarget;
  settings.on_header_field = OnField;
  settings.on_header_value = OnValue;
  settings.on_headers_complete = OnComplete;
  http_parser parser;
  http_parser_init(&parser, HTTP_REQUEST);
  Other other;
  parser.data = &other;
  const size_t taken = http_parser_execute(&parser, &settings, bytes.data(), bytes.size());
  if (other.complete) {
    other.consumed = taken + 1;  // paused before the last line feed
  } else {
    other.error = HTTP_PARSER_ERRNO(&parser);
  }
  return other;
}

bool KnownToOther(std::string_view method) {
  for (int i = 0; i <= HTTP_SOURCE; ++i) {
    if (method == http_method_str(static_cast<http_method>(i))) return true;
  }
  return false;
}

}  // namespace pollux::fuzz
