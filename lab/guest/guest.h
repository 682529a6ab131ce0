#pragma once
/// \file  The lab guest: a freestanding program that dirties memory along a known curve, stamps every
///        page, and beats 200 times a second. Declares what its parts offer each other; build compiles
///        all of them as one unit.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

enum { PAGE_SIZE = 4096, PAGES_PER_MIB = 256, MAX_CPUS = 2, TICK_HZ = 200 };
enum { PM_HZ = 3579545 };  // ACPI PM timer: virtual time, stands still while the guest is stopped

enum pattern { UNIFORM, HOTCOLD, RAMP, IDLE };

struct params {
  u32 hot_mib;  // 0: not given, a quarter of the filled memory
  u32 pattern, cold_percent, work, rate_mib_s, on_ms, off_ms, fill_percent, seed;
  u32 decay_permille, decay_every_ms;
};
extern struct params params;

// params.cpp: false: `error` holds a line for the user.
bool params_parse(const char* line, char* error, u32 error_size);

// machine.cpp
extern u32 cpu_count;
static inline void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline u8 inb(u16 port) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u32 inl(u16 port) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u32 pm_now() { return inl(0x608); }
static inline void wait_for_tick() { __asm__ volatile("sti; hlt" : : : "memory"); }
void machine_init();       // interrupt table, masked PIC, count of CPUs
void machine_start_tick(); // on the calling CPU; interrupts on
void machine_end_of_interrupt();
void machine_start_second_cpu();
[[noreturn]] void machine_stop();
// 64 by 32 bits without libgcc; the quotient must fit in 32 bits.
static inline u32 div64(u64 n, u32 d, u32* rest) {
  u32 q, r;
  __asm__("divl %4" : "=a"(q), "=d"(r) : "a"((u32)n), "d"((u32)(n >> 32)), "r"(d));
  *rest = r;
  return q;
}

// serial.cpp
void serial_init();
void serial_poll();          // from the tick: moves received bytes into a ring
int serial_take();           // next received byte, or -1
void put(const char* text);
void put_u32(u32 value);
void put_field(const char* name, u32 value);  // " name=value"

// pages.cpp
extern u32 page_count, filled_count, hot_count;
extern volatile u32 written[MAX_CPUS];
extern volatile u32 errors[MAX_CPUS];
void pages_init(u32 ram_kib);
void pages_fill();
void pages_set_hot(u32 pages);
u32 pages_pick(u32 cpu);
void pages_write(u32 cpu, u32 page);
void pages_make_stale(u32 page);
void pages_zero(u32 page);
bool pages_verify();  // prints the verdict; all CPUs must be parked

// pace.cpp
extern volatile bool phase_on;
void pace_restart();          // decay and phases from the start
void pace_tick(u32 cpu, u32 pm_elapsed);
bool pace_take(u32 cpu);      // may this CPU write one page now?
u32 pace_rate_pages();        // now, all CPUs; 0: no limit

// beat.cpp
extern volatile u32 beat_sequence;
extern volatile bool filling, parked_flag;
void beat();
