// How fast the guest may dirty: rate, bursts, decay. Driven by virtual time read
// from the PM timer, so late or lost ticks do not change the rate.
#include "guest.h"

volatile bool phase_on = true;

static u32 rate_pages;                      // per second, all CPUs
static volatile u32 earned[MAX_CPUS], spent[MAX_CPUS];
static u64 fraction[MAX_CPUS];
static u64 phase_elapsed, decay_elapsed;    // PM ticks

static u64 pm_of_ms(u32 ms) {
  u32 rest;
  return (u64)ms * 3579 + div64((u64)ms * 545, 1000, &rest);
}

void pace_restart() {
  rate_pages = params.rate_mib_s * PAGES_PER_MIB;
  phase_elapsed = decay_elapsed = 0;
  phase_on = true;
  pages_set_hot(params.hot_mib ? params.hot_mib * PAGES_PER_MIB : filled_count / 4);
}

u32 pace_rate_pages() { return rate_pages; }

static u32 scaled(u32 value) {
  u32 rest;
  return div64((u64)value * params.decay_permille, 1000, &rest);
}

static void phases(u32 pm_elapsed) {
  if (params.on_ms) {
    phase_elapsed += pm_elapsed;
    u64 length = pm_of_ms(phase_on ? params.on_ms : params.off_ms);
    if (phase_elapsed >= length) {
      phase_elapsed -= length;
      phase_on = !phase_on;
    }
  } else {
    phase_on = true;
  }
  if (params.decay_every_ms) {
    decay_elapsed += pm_elapsed;
    u64 every = pm_of_ms(params.decay_every_ms);
    if (decay_elapsed >= every) {
      decay_elapsed -= every;
      if (rate_pages) {
        u32 next = scaled(rate_pages);
        rate_pages = next ? next : 1;  // 0 would mean no limit
      }
      pages_set_hot(scaled(hot_count));
    }
  }
}

void pace_tick(u32 cpu, u32 pm_elapsed) {
  if (filling) return;
  if (cpu == 0) phases(pm_elapsed);
  if (!rate_pages) return;
  u32 share = rate_pages / cpu_count, rest;
  fraction[cpu] += (u64)share * pm_elapsed;
  u32 pages = div64(fraction[cpu], PM_HZ, &rest);
  fraction[cpu] = rest;
  // A CPU that was kept from running catches up at most 200 ms.
  u32 most = share / 5 + 1, have = earned[cpu] - spent[cpu];
  if (!phase_on) pages = 0;
  if (have + pages > most) pages = have < most ? most - have : 0;
  earned[cpu] += pages;
}

bool pace_take(u32 cpu) {
  if (!phase_on || params.pattern == IDLE) return false;
  if (!rate_pages) return true;
  if (earned[cpu] == spent[cpu]) return false;
  spent[cpu] = spent[cpu] + 1;
  return true;
}
