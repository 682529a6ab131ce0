#include "guest.h"

struct params params = {
    .hot_mib = 0, .pattern = UNIFORM, .cold_percent = 10, .work = 1000, .rate_mib_s = 0,
    .on_ms = 0, .off_ms = 0, .fill_percent = 100, .seed = 1, .decay_permille = 1000, .decay_every_ms = 0,
};

static const struct { const char* name; u32* value; u32 max; } numbers[] = {
    {"hot", &params.hot_mib, 4096},
    {"cold", &params.cold_percent, 100},
    {"work", &params.work, 100000000},
    {"rate", &params.rate_mib_s, 65536},
    {"on", &params.on_ms, 3600000},
    {"off", &params.off_ms, 3600000},
    {"fill", &params.fill_percent, 100},
    {"seed", &params.seed, 0xFFFFFFFF},
    {"decay", &params.decay_permille, 1000},
    {"decay_every", &params.decay_every_ms, 3600000},
};
static const char* const patterns[] = {"uniform", "hotcold", "ramp", "idle"};

static bool same(const char* text, u32 length, const char* name) {
  u32 i = 0;
  for (; i < length && name[i]; i++)
    if (text[i] != name[i]) return false;
  return i == length && !name[i];
}

static bool fail(char* error, u32 size, const char* what, const char* word, u32 length) {
  u32 n = 0;
  for (; *what && n + 1 < size; what++) error[n++] = *what;
  for (u32 i = 0; i < length && n + 1 < size; i++) error[n++] = word[i];
  error[n] = 0;
  return false;
}

static bool set_number(u32* value, u32 max, const char* digits, u32 length) {
  u32 v = 0;
  if (!length) return false;
  for (u32 i = 0; i < length; i++) {
    if (digits[i] < '0' || digits[i] > '9') return false;
    u32 d = digits[i] - '0';
    if (v > (0xFFFFFFFF - d) / 10) return false;
    v = v * 10 + d;
  }
  if (v > max) return false;
  *value = v;
  return true;
}

static bool set(const char* word, u32 length, char* error, u32 size) {
  u32 eq = 0;
  while (eq < length && word[eq] != '=') eq++;
  if (eq == length) return fail(error, size, "expected key=value, got: ", word, length);
  const char* value = word + eq + 1;
  u32 value_length = length - eq - 1;
  if (same(word, eq, "pattern")) {
    for (u32 i = 0; i < sizeof patterns / sizeof *patterns; i++)
      if (same(value, value_length, patterns[i])) { params.pattern = i; return true; }
    return fail(error, size, "pattern is uniform, hotcold, ramp or idle, not: ", value, value_length);
  }
  for (u32 i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (same(word, eq, numbers[i].name)) {
      if (set_number(numbers[i].value, numbers[i].max, value, value_length)) return true;
      return fail(error, size, "value out of range: ", word, length);
    }
  return fail(error, size, "unknown parameter: ", word, length);
}

bool params_parse(const char* line, char* error, u32 error_size) {
  while (*line) {
    while (*line == ' ') line++;
    u32 length = 0;
    while (line[length] && line[length] != ' ') length++;
    if (length && !set(line, length, error, error_size)) return false;
    line += length;
  }
  if ((params.on_ms == 0) != (params.off_ms == 0))
    return fail(error, error_size, "on= and off= go together", "", 0);
  return true;
}
