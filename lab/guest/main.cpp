// Start, the dirtying loop, and the commands on the serial port.
#include "guest.h"

static volatile bool want_park, second_parked;
static bool user_paused;

static void fence() { __asm__ volatile("lock; addl $0, (%%esp)" : : : "memory"); }

static void work(u32 rounds) {
  u32 x = rounds;
  for (u32 i = 0; i < rounds; i++) {
    x = x * 1664525u + 1013904223u;
    __asm__ volatile("" : "+r"(x));
  }
}

// From here on no CPU writes a page, until unpark().
static void park() {
  want_park = true;
  fence();
  while (cpu_count > 1 && !second_parked) wait_for_tick();
  parked_flag = true;
}
static void unpark() { want_park = parked_flag = false; }

static void status() {
  put(user_paused ? "status paused" : "status running");
  put_field("seq", beat_sequence);
  put_field("writes", written[0] + written[1]);
  put_field("writes0", written[0]);
  put_field("writes1", written[1]);
  put_field("errors", errors[0] + errors[1]);
  put_field("pages", page_count);
  put_field("filled", filled_count);
  put_field("hot", hot_count);
  put_field("rate", pace_rate_pages());
  put_field("cpus", cpu_count);
  put("\n");
}

// X, Z and S take the rest of their line; the others act at once.
static char line[128];
static u32 line_length;

static bool line_number(u32* value) {
  *value = 0;
  for (u32 i = 1; i < line_length; i++) {
    if (line[i] < '0' || line[i] > '9') return false;
    *value = *value * 10 + (line[i] - '0');
  }
  return line_length > 1 && *value < filled_count;
}

static void run_line() {
  char error[100];
  u32 page;
  park();
  if (line[0] == 'S') {
    line[line_length] = 0;
    if (params_parse(line + 1, error, sizeof error)) {
      pace_restart();
      put("set ok\n");
    } else {
      put("error: ");
      put(error);
      put("\n");
    }
  } else if (!line_number(&page)) {
    put("error: no such page\n");
  } else {
    if (line[0] == 'X') pages_make_stale(page); else pages_zero(page);
    put("corrupted");
    put_field("page", page);
    put("\n");
  }
  if (!user_paused) unpark();
}

static void command(char c) {
  if (line_length) {
    if (c != '\n' && line_length + 1 < sizeof line) { line[line_length++] = c; return; }
    if (c != '\n') return;
    run_line();
    line_length = 0;
    return;
  }
  switch (c) {
    case 'P': user_paused = true; park(); put("paused\n"); break;
    case 'V': user_paused = true; park(); pages_verify(); break;
    case 'G': user_paused = false; unpark(); put("running\n"); break;
    case 'D': pace_restart(); put("decay restarted\n"); break;
    case '?': status(); break;
    case 'X': case 'Z': case 'S': line[0] = c; line_length = 1; break;
    case '\n': case '\r': break;
    default: put("error: commands are V G P D ? X<page> Z<page> S<key=value ...>\n");
  }
}

[[noreturn]] void dirty_memory(u32 cpu) {
  for (;;) {
    if (cpu == 0)
      for (int c; (c = serial_take()) >= 0;) command(c);
    if (want_park || filling) {
      if (cpu == 1) second_parked = true;
      wait_for_tick();
      continue;
    }
    if (cpu == 1) {
      second_parked = false;
      fence();
    }
    if (want_park) continue;  // asked between the two looks: park, and say so
    if (!pace_take(cpu)) {
      wait_for_tick();
      continue;
    }
    pages_write(cpu, pages_pick(cpu));
    work(params.work);
  }
}

struct multiboot { u32 flags, mem_lower, mem_upper, boot_device, cmdline; };
static char cmdline[1024];

static void refuse(const char* why) {
  put("error: ");
  put(why);
  put("\n");
  machine_stop();
}

extern "C" void guest_main(u32 magic, const multiboot* info) {
  serial_init();
  if (magic != 0x2BADB002 || (info->flags & 5) != 5) refuse("not started by a multiboot loader");
  u32 ram_kib = 1024 + info->mem_upper;
  // Copied away first: it lies in memory that is filled below. The first word is the program's name.
  const char* from = (const char*)info->cmdline;
  while (*from && *from != ' ') from++;
  for (u32 i = 0; i + 1 < sizeof cmdline && from[i]; i++) cmdline[i] = from[i];
  machine_init();
  char error[100];
  if (!params_parse(cmdline, error, sizeof error)) refuse(error);
  // Of more the first alone works: a guest of which one vCPU of many is busy.
  if (cpu_count > MAX_CPUS) cpu_count = 1;
  if (ram_kib < 8192) refuse("the guest needs 8 MiB of memory");

  filling = true;
  pages_init(ram_kib);
  if (params.hot_mib * PAGES_PER_MIB > filled_count) refuse("hot= is more than the filled memory");
  pace_restart();
  machine_start_tick();
  pages_fill();
  if (cpu_count > 1) machine_start_second_cpu();
  filling = false;
  put("ready");
  put_field("pages", page_count);
  put_field("filled", filled_count);
  put_field("hot", hot_count);
  put_field("cpus", cpu_count);
  put_field("ram_kib", ram_kib);
  put("\n");
  dirty_memory(0);
}
