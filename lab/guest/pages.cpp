// Every filled page carries {page number, generation, hash} at its start and at
// its end; a table below the pages keeps the generation that must be there.
#include "guest.h"

enum { TABLE = 0x200000 };
u32 page_count, filled_count, hot_count;
volatile u32 written[MAX_CPUS];
volatile u32 errors[MAX_CPUS];

static u32 base;
static u32 random_state[MAX_CPUS], cursor[MAX_CPUS];
static struct { u32 page, expected, found; } first_error[MAX_CPUS];

struct stamp { u32 page, generation, hash; };
static u32* const table = (u32*)TABLE;

static u8* at(u32 page) { return (u8*)base + page * PAGE_SIZE; }
static volatile stamp* head(u32 page) { return (volatile stamp*)at(page); }
static volatile stamp* tail(u32 page) { return (volatile stamp*)(at(page) + PAGE_SIZE - sizeof(stamp)); }

static u32 hash_of(u32 page, u32 generation) {
  u32 h = (page * 0x9E3779B1u) ^ (generation * 0x85EBCA77u) ^ params.seed;
  h ^= h >> 15;
  h *= 0x2C1B3C6Du;
  h ^= h >> 13;
  return h;
}

static void put_stamps(u32 page, u32 generation) {
  u32 hash = hash_of(page, generation);
  volatile stamp *a = head(page), *z = tail(page);
  a->page = z->page = page;
  a->generation = z->generation = generation;
  a->hash = z->hash = hash;
}

static bool stamp_is(volatile stamp* s, u32 page, u32 generation, u32 hash) {
  return s->page == page && s->generation == generation && s->hash == hash;
}

static bool page_is_good(u32 page, u32 generation) {
  u32 hash = hash_of(page, generation);
  return stamp_is(head(page), page, generation, hash) && stamp_is(tail(page), page, generation, hash);
}

// The generation to show for a bad page: the end that differs.
static u32 found_generation(u32 page, u32 expected) {
  u32 g = head(page)->generation;
  return g != expected ? g : tail(page)->generation;
}

void pages_init(u32 ram_kib) {
  u32 end = ram_kib / 4;                       // in pages
  u32 table_page = TABLE / PAGE_SIZE;
  u32 most = end - table_page;
  u32 table_pages = (most * 4 + PAGE_SIZE - 1) / PAGE_SIZE;
  page_count = most - table_pages;
  base = TABLE + table_pages * PAGE_SIZE;
  u32 rest;
  filled_count = div64((u64)page_count * params.fill_percent, 100, &rest);
  if (filled_count < cpu_count) filled_count = cpu_count;
  for (u32 c = 0; c < MAX_CPUS; c++) random_state[c] = ((params.seed * 2654435761u) ^ ((c + 1) * 0x9E3779B9u)) | 1;
}

void pages_fill() {
  for (u32 p = 0; p < filled_count; p++) {
    put_stamps(p, 1);
    table[p] = 1;
  }
  // The firmware leaves data of its own below the top of RAM (SeaBIOS near 112 of 128 MiB). Only what is not
  // zero is written: reading keeps a page out of the host's memory, and out of the first pass.
  for (u32 p = filled_count; p < page_count; p++)
    if (!stamp_is(head(p), 0, 0, 0) || !stamp_is(tail(p), 0, 0, 0)) pages_zero(p);
}

void pages_set_hot(u32 pages) {
  if (pages > filled_count) pages = filled_count;
  hot_count = pages < cpu_count ? cpu_count : pages;
}

static u32 random_below(u32 cpu, u32 n) {
  u32 x = random_state[cpu];
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  random_state[cpu] = x;
  return (u64)x * n >> 32;
}

// CPU c owns the pages whose number leaves c when divided by the count of CPUs.
u32 pages_pick(u32 cpu) {
  u32 hot = hot_count / cpu_count, all = filled_count / cpu_count, i;
  if (params.pattern == RAMP) {
    i = cursor[cpu] < hot ? cursor[cpu] : 0;
    cursor[cpu] = i + 1;
  } else if (params.pattern == HOTCOLD && all > hot && random_below(cpu, 100) < params.cold_percent) {
    i = hot + random_below(cpu, all - hot);
  } else {
    i = random_below(cpu, hot);
  }
  return i * cpu_count + cpu;
}

void pages_write(u32 cpu, u32 page) {
  u32 generation = table[page];
  if (!page_is_good(page, generation)) {
    if (!errors[cpu]) first_error[cpu] = {page, generation, found_generation(page, generation)};
    errors[cpu] = errors[cpu] + 1;
  }
  put_stamps(page, generation + 1);
  table[page] = generation + 1;
  written[cpu] = written[cpu] + 1;
}

void pages_make_stale(u32 page) { put_stamps(page, table[page] - 1); }

void pages_zero(u32 page) {
  for (u32 i = 0; i < PAGE_SIZE / 4; i++) ((volatile u32*)at(page))[i] = 0;
}

bool pages_verify() {
  u32 bad = 0, page = 0, expected = 0, found = 0, sum = 0;
  // Errors met while dirtying: those pages look right again, but the guest was harmed.
  for (u32 c = 0; c < cpu_count; c++)
    if (errors[c]) {
      if (!bad) page = first_error[c].page, expected = first_error[c].expected, found = first_error[c].found;
      bad += errors[c];
    }
  for (u32 p = 0; p < page_count; p++) {
    bool good;
    if (p < filled_count) {
      sum += table[p] - 1;
      good = page_is_good(p, table[p]);
    } else {
      good = stamp_is(head(p), 0, 0, 0) && stamp_is(tail(p), 0, 0, 0);
    }
    if (!good && !bad++) page = p, expected = p < filled_count ? table[p] : 0, found = found_generation(p, expected);
  }
  u32 writes = written[0] + written[1];
  if (bad) {
    put("verify FAILED");
    put_field("page", page);
    put_field("expected_gen", expected);
    put_field("found_gen", found);
    put_field("bad", bad);
  } else if (sum != writes) {
    // A page and its table entry both stale agree with each other, but not with the count of writes.
    put("verify FAILED page=table");
    put_field("expected_gen", writes);
    put_field("found_gen", sum);
    put_field("bad", 1);
  } else {
    put("verify ok");
    put_field("pages", page_count);
    put_field("writes", writes);
    put_field("seq", beat_sequence);
  }
  put("\n");
  return !bad && sum == writes;
}
